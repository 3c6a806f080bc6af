"""Many steps: bounded memory, and no step is forgotten."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from planit import Chain, Run, SlurmArgs, Step, Sweep
from planit.backends.local.backend import LocalBackend
from planit.backends.local.engine import Engine
from planit.record.run_dir import RunDir
from planit.submit.new import NewRun
from tests.helpers import nothing

ARGS = SlurmArgs(time="5", partition="batch")


def peak_kb(pid: int) -> int:
    """The most memory that a process has had, as far as it still can tell."""
    with contextlib.suppress(OSError, IndexError):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0])
    return 0


def test_the_engine_needs_little_memory_for_many_steps(tmp_path: Path) -> None:
    count = int(os.environ.get("PLANIT_TEST_STEPS", "400"))
    root = Chain(Sweep("s", nothing, ARGS, over={"number": range(count)}), Step("t", nothing, ARGS))
    backend = LocalBackend(cpus=4, gpus=0, detach=False)
    new = NewRun(plan="p", root=root, base=tmp_path, backend=backend)
    began = time.monotonic()
    run = Run(new.start()[0].path, backend=new.backend)
    assert backend.engine is not None
    first = most = peak_kb(backend.engine.pid)
    while backend.engine.poll() is None:
        most = max(most, peak_kb(backend.engine.pid))
        time.sleep(0.05)
    seconds = time.monotonic() - began
    print(f"{count} steps: {seconds:.1f} s, engine {first} -> {most} KiB")
    assert run.status().succeeded
    assert most < 100_000 + 4 * count


def test_what_a_step_costs_does_not_grow_with_the_plan(tmp_path: Path) -> None:
    """Python's signal module writes the old handler out; the engine's must not name all steps."""
    engine = Engine(RunDir(tmp_path), 1, {"steps": "x" * 10_000})
    assert len(repr(engine.main)) < 200
