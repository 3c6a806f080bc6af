"""What the tests on the real Slurm share: small plans, the command line, polling."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit import Run, SlurmArgs, Step
from planit.backends.slurm.backend import SlurmBackend
from planit.nodes import Node
from planit.submit.new import NewRun
from tests.helpers import ROOT, Done, planit_here
from tests.slurm import steps

ARGS = SlurmArgs(time="5", partition="batch", cpus_per_task=1)


def until(done: Callable[[], Any], seconds: float = 40.0) -> Any:
    """Poll until it holds; what it said then."""
    end = time.monotonic() + seconds
    while not (result := done()):
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.1)
    return result


def note(name: str, path: Path, args: SlurmArgs = ARGS) -> Step:
    """A step that adds its name to a file."""
    return Step(name, steps.note, args, str(path), name)


def lines(path: Path) -> list[str]:
    """What the steps noted in a file."""
    return path.read_text().splitlines() if path.exists() else []


def submit(base: Path, root: Node, *, plan: str = "p", **backend: Any) -> Run:
    """Submit a plan from this process; its run."""
    new = NewRun(plan=plan, root=root, base=base, backend=SlurmBackend(**backend))
    return Run(new.start()[0].path, backend=new.backend)


def settled(run: Run, seconds: float = 60.0) -> dict[str, str]:
    """Wait until every step is final; the states by name."""
    until(lambda: run.status().is_final, seconds)
    return states(run)


def states(run: Run) -> dict[str, str]:
    """The state of each step now."""
    return {step.name: step.state.value for step in run.status().steps}


def planit(base: Path, verb: str, *words: str) -> Done:
    """A verb of the command line on the runs in `base`, in this process."""
    return planit_here(verb, "--runs-dir", str(base), *words)


def status_json(base: Path, *words: str) -> dict[str, Any]:
    """What ``planit status --json`` prints."""
    shown: dict[str, Any] = json.loads(planit(base, "status", "--json", *words).out)
    return shown


def slurm_says(*command: str) -> str:
    """What a Slurm client prints; it must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def in_queue(run: Run) -> list[str]:
    """The jobs of a run that have not ended, as squeue shows them."""
    wanted = f"planit:{run.run_id}:"
    shown = slurm_says("squeue", "-h", "-o", "%i %T %k").splitlines()
    return [line for line in shown if wanted in line]


def of_run(run: Run, name: str) -> str:
    """The job id of a step."""
    job = run.status().step(name).job
    assert job is not None
    return job


def begin_now(run: Run, *names: str) -> bool:
    """Let requeued steps begin, which Slurm would do only after two minutes; always True.

    Only a job that waits for its time is told to: to put the time anew would make it wait again.
    And not at once: what ends the old processes on the node would end those of the new attempt.
    """
    time.sleep(1)
    for name in names:
        job = of_run(run, name)
        shown = subprocess.run(
            ["squeue", "-h", "-j", job, "-o", "%r"], capture_output=True, text=True, check=False
        )
        if shown.stdout.strip() == "BeginTime":
            command = ["scontrol", "update", f"jobid={job}", "StartTime=now"]
            subprocess.run(command, stderr=subprocess.DEVNULL, check=False)
    time.sleep(1)
    return True


@contextlib.contextmanager
def wrapped(folder: Path, tools: Mapping[str, str] | Sequence[str] = ()) -> Iterator[Path]:
    """Put shell scripts of these names first on PATH; ``real`` in them calls the real tool.

    Each call is noted in ``<folder>/calls``, which is returned.
    """
    folder.mkdir(parents=True, exist_ok=True)
    calls = folder / "calls"
    scripts = tools if isinstance(tools, Mapping) else dict.fromkeys(tools, 'real "$@"')
    before = os.environ["PATH"]
    for tool, text in scripts.items():
        real = subprocess.run(
            ["/bin/sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=False
        ).stdout.strip()
        script = folder / tool
        script.write_text(
            f"#!/bin/bash\nreal() {{ {real} \"$@\"; }}\necho {tool} >> '{calls}'\n{text}\n"
        )
        script.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{before}"
    try:
        yield calls
    finally:
        os.environ["PATH"] = before


@dataclass(frozen=True)
class Script:
    """A Python program that runs as a process of its own."""

    folder: Path
    text: str

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start it, with this checkout importable."""
        return subprocess.Popen(
            [sys.executable, "-c", self.text, *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
