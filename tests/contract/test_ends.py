"""However a step ends, it is told as what it was, on every backend that keeps a record."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from planit import Command, Parallel, Run, SlurmArgs, Step
from planit.nodes import Task
from planit.submit.new import NewRun
from tests.contract import ends
from tests.contract.drivers import ARGS, ON_SLURM, Driver
from tests.slurm.tools import settled

BY_SIGTERM = "terminated by SIGTERM: cancelled, out of time or preempted"
LONG = "x" * 500
ENDS: dict[str, tuple[Task, str, str | None]] = {
    name: (task, "DONE" if cause is None else "FAILED", cause)
    for name, task, cause in (
        ("segfault", Step("s", ends.segfault, ARGS),
         "ended by signal 11 (SIGSEGV) before the function returned"),
        ("abort", Step("s", ends.send, ARGS, signal.SIGABRT),
         "ended by signal 6 (SIGABRT) before the function returned"),
        ("killed", Step("s", ends.send, ARGS, signal.SIGKILL),
         "ended by signal 9 (SIGKILL) before the function returned"),
        ("sigterm", Step("s", ends.send, ARGS, signal.SIGTERM), BY_SIGTERM),
        ("sigint", Step("s", ends.send, ARGS, signal.SIGINT), "KeyboardInterrupt"),
        ("interrupt", Step("s", ends.interrupt, ARGS), "KeyboardInterrupt"),
        ("no_text", Step("s", ends.no_text, ARGS, RuntimeError("no")),
         "NoTextError: <its text cannot be shown: RuntimeError>"),
        ("no_text_at_all", Step("s", ends.no_text, ARGS, KeyboardInterrupt()),
         "NoTextError: <its text cannot be shown: KeyboardInterrupt>"),
        *((f"streams_{how}", Step("s", ends.streams, ARGS, how), None)
          for how in ("closed", "descriptors", "replaced", "none", "broken", "object")),
        *((f"fails_{how}", Step("s", ends.fails_after, ARGS, how), "ValueError: broken")
          for how in ("closed", "descriptors", "replaced", "none", "broken", "object")),
        *((f"returns_{how}", Step("s", ends.returns_after, ARGS, how), None)
          for how in ("closed", "descriptors", "broken", "object")),
        ("command", Command("s", "echo one; echo the last line >&2; echo; exit 3", ARGS),
         "exit code 3: the last line"),
        ("command_silent", Command("s", "exit 4", ARGS), "exit code 4 of: exit 4"),
        ("command_long", Command("s", f"exit 5 # {LONG}", ARGS),
         f"exit code 5 of: exit 5 # {LONG[:191]}…"),
        ("command_wordy", Command("s", f"seq 9999; echo -n {LONG}; exit 6", ARGS),
         f"exit code 6: {LONG[:200]}…"),
        ("command_signal", Command("s", "echo before; kill -SEGV $$", ARGS),
         "ended by signal 11 (SIGSEGV): before"),
        ("command_missing", Command("s", ["no-such-program"], ARGS),
         "exit code 127: [Errno 2] No such file or directory: 'no-such-program'"),
    )
}  # fmt: skip


@pytest.fixture(scope="module", params=[ON_SLURM, "local-fork", "local-spawn"])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of them all, side by side."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    named: list[Task] = []
    for name, (task, _, _) in ENDS.items():
        if isinstance(task, Step):
            named.append(Step(name, task.func, ARGS, *task.args))
        elif isinstance(task, Command):
            named.append(Command(name, task.command, ARGS))
    new = NewRun(
        "p", Parallel(*named), tmp_path_factory.mktemp("ends"), Driver(request.param).backend()
    )
    run = Run(new.start()[0].path, backend=new.backend)
    settled(run, 120)
    return run


@pytest.fixture(scope="module")
def told(ended: Run) -> dict[str, tuple[str, str | None]]:
    return {step.name: (str(step.state), step.cause) for step in ended.status().steps}


@pytest.mark.parametrize("name", ENDS)
def test_an_end_is_told_as_what_it_was(told: dict[str, Any], name: str) -> None:
    assert told[name] == ENDS[name][1:]


@pytest.mark.slurm
def test_of_several_ranks_the_first_error_is_told(slurm: Any, tmp_path: Any) -> None:
    two = SlurmArgs("5", "batch", nodes=2)
    steps = [
        Step(f"{how}_{rank}", ends.many, two, rank, how)
        for how in ("error", "interrupt", "segfault", "exit")
        for rank in (0, 1)
    ]
    small = SlurmArgs("5", "batch", nodes=2, additional_params={"mem": "150M"})
    steps.append(Step("memory", ends.many, small, 1, "memory"))
    new = NewRun("p", Parallel(*steps), tmp_path, Driver("slurm").backend())
    run = Run(new.start()[0].path, backend=new.backend)
    settled(run, 120)
    found = {step.name: (str(step.state), step.cause) for step in run.status().steps}
    assert found.pop("memory") == ("OUT_OF_MEMORY", "out of memory")
    assert found == {
        f"{how}_{rank}": ("FAILED", cause.format(rank))
        for how, cause in {
            "error": "ValueError: broken",
            "interrupt": "KeyboardInterrupt",
            "segfault": "rank {} ended without a report: segmentation fault",
            "exit": "rank {} ended without a report: exited with exit code 3",
        }.items()
        for rank in (0, 1)
    }
