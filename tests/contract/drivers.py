"""The three backends behind one small driver, so that one suite of behaviours holds for all."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import Plan, Run, SlurmArgs, StepsFailedError
from planit.backends.base import Backend
from planit.backends.local.backend import LocalBackend
from planit.backends.slurm.backend import SlurmBackend
from planit.nodes import Node, tasks
from planit.submit.new import NewRun
from tests.slurm.tools import settled

ARGS = SlurmArgs(time="5", partition="batch", cpus_per_task=1)

ON_SLURM = pytest.param("slurm", marks=pytest.mark.slurm)

# What the debug backend by design has not: everything happens in the test's own process.
DEBUG_LACKS = {
    "setup": "there is no shell before a step",
    "environment": "steps share the environment of the process",
    "record": "no run directory: nothing to look at, to cancel or to resume",
    "time": "a function in this process cannot be ended",
}


@dataclass(frozen=True)
class Driver:
    """Runs a plan to its end on one backend."""

    name: str

    def lacks(self, what: str) -> bool:
        return self.name == "debug" and what in DEBUG_LACKS

    def run(self, base: Path, root: Node, plan: str = "p") -> dict[str, str]:
        """The states of all steps at the end."""
        if self.name == "debug":
            return _run_debug(base, root, plan)
        return settled(self.start(base, root, plan), 120)

    def start(self, base: Path, root: Node, plan: str = "p") -> Run:
        """Submit, and return the run while it goes on."""
        new = NewRun(plan, root, base, self.backend())
        return Run(new.start()[0].path, backend=new.backend)

    def jobs(self, base: Path, root: Node, plan: str = "p") -> dict[str, Any]:
        """submitit's job of each step, by name, when all have ended."""
        names = [task.name for task, _ in tasks(root)]
        if self.name == "debug":
            made = Plan(plan, root)
            jobs = made.submit(submitit.AutoExecutor(folder=base, cluster="debug"))
            with contextlib.suppress(StepsFailedError):
                made.wait()
            return dict(zip(names, jobs, strict=True))
        new = NewRun(plan, root, base, self.backend())
        run, started = new.start()
        settled(Run(run.path, backend=new.backend), 120)
        return dict(zip(names, started, strict=True))

    def backend(self) -> Backend:
        if self.name == "slurm":
            return SlurmBackend()
        isolation = self.name.removeprefix("local-")
        return LocalBackend(cpus=8, gpus=0, isolation=isolation, kill_wait_s=3)


def _run_debug(base: Path, root: Node, name: str) -> dict[str, str]:
    plan = Plan(name, root)
    plan.submit(submitit.AutoExecutor(folder=base, cluster="debug"))
    failed: dict[str, Any] = {}
    blocked: tuple[str, ...] = ()
    try:
        plan.wait()
    except StepsFailedError as error:
        failed, blocked = error.failures, error.blocked
    return {
        task.name: "FAILED"
        if task.name in failed
        else "BLOCKED"
        if task.name in blocked
        else "DONE"
        for task, _ in tasks(root)
    }
