"""The plan in this process: submitit's debug jobs, in order.

Parallel branches run in threads, or, for debuggers, all steps one by one in the calling thread.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from submitit import DebugExecutor, Job

from planit.backends.settings import Configurable
from planit.errors import StepsFailedError
from planit.graph import lower
from planit.job.call import call_of
from planit.nodes import Node, tasks

MAX_THREADS = 64


@dataclass
class DebugBackend(Configurable):
    """Runs plans in this process, without a record."""

    name: ClassVar[str] = "debug"
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    def prepare(self, plan: str, root: Node, folder: Path) -> DebugRun:
        """The plan's jobs, in order; nothing runs yet. Raises PlanError if the plan is wrong."""
        return debugged(plan, root, DebugExecutor(folder))


@dataclass(frozen=True)
class DebugRun:
    """A plan that waits to be run in this process.

    Attributes:
        plan: its name.
        jobs: by step, in the order of the plan.
        parents: the steps that have to succeed before a step.
        lanes: the steps that have to end before it, because of ``max_concurrent``.
    """

    plan: str
    jobs: Mapping[str, Job[Any]]
    parents: Mapping[str, Sequence[str]]
    lanes: Mapping[str, Sequence[str]]

    def in_threads(self) -> None:
        """Run each job when its parents succeeded and those before it in its lane have ended.

        A failed step stops what depends on it; everything else still runs.

        Raises:
            StepsFailedError: names every failed step with its traceback.
        """
        order = _Order(self.jobs, self.parents, self.lanes)
        with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="planit") as pool:
            try:
                order.run(pool)
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        self._end(order.failures, order.blocked)

    def one_by_one(self, starts: Callable[[str], None]) -> None:
        """Run all jobs in the order of the plan, in this thread: one debugger has the terminal.

        `starts` is told the name of each step before it runs.

        Raises:
            StepsFailedError: names every failed step with its traceback.
        """
        failures: dict[str, str] = {}
        blocked: list[str] = []
        bad: set[str] = set()
        for name, job in self.jobs.items():
            if not bad.isdisjoint(self.parents.get(name, ())):
                blocked.append(name)
                bad.add(name)
                continue
            starts(name)
            try:
                _call(job)
            except BdbQuit:  # the debugger's "quit" means all of it
                raise KeyboardInterrupt from None
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                failures[name] = "".join(traceback.format_exception(error))
                bad.add(name)
        self._end(failures, blocked)

    def _end(self, failures: dict[str, str], blocked: Sequence[str]) -> None:
        for name in blocked:
            self.jobs[name].cancel()
        if failures:
            raise StepsFailedError(self.plan, failures, blocked)


def debugged(plan: str, root: Node, executor: Any) -> DebugRun:
    """The plan's jobs, in order; nothing runs yet. Raises PlanError if the plan is wrong."""
    graph = lower(root, stack=False)
    calls = {task.name: call_of(task) for task, _ in tasks(root)}
    jobs = {
        name: executor.submit(call.in_job, *call.args, **call.kwargs)
        for name, call in calls.items()
    }
    return DebugRun(plan, jobs, graph.task_parents(), graph.task_lanes())


def _call(job: Job[Any]) -> Any:
    """Make a step's call, without touching os.environ; leaving with code 0 is no failure."""
    try:
        return job.submission().result()
    except SystemExit as stop:
        if stop.code in (None, 0):
            return None
        raise


class _Order:
    def __init__(
        self,
        jobs: Mapping[str, Job[Any]],
        parents: Mapping[str, Sequence[str]],
        lanes: Mapping[str, Sequence[str]],
    ) -> None:
        self.jobs = jobs
        self.waiting = {name: {*parents.get(name, ()), *lanes.get(name, ())} for name in jobs}
        self.parents = {name: set(before) for name, before in parents.items()}
        self.behind: dict[str, list[str]] = {name: [] for name in jobs}
        self.failures: dict[str, str] = {}
        self.blocked: list[str] = []
        self.running: dict[Future[Any], str] = {}
        for name, before in self.waiting.items():
            for earlier in before:
                self.behind[earlier].append(name)

    def run(self, pool: ThreadPoolExecutor) -> None:
        for name in [name for name, before in self.waiting.items() if not before]:
            self._start(name, pool)
        while self.running:
            for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                name = self.running.pop(future)
                if (error := future.exception()) is not None:
                    self.failures[name] = "".join(traceback.format_exception(error))
                self._ended(name, pool, succeeded=error is None)

    def _start(self, name: str, pool: ThreadPoolExecutor) -> None:
        del self.waiting[name]
        self.running[pool.submit(_call, self.jobs[name])] = name

    def _ended(self, name: str, pool: ThreadPoolExecutor, *, succeeded: bool) -> None:
        """Start what waited for this step; what needed its success never runs, and so ends too."""
        ended = [(name, succeeded)]
        while ended:
            earlier, well = ended.pop()
            for later in self.behind[earlier]:
                if later not in self.waiting:
                    continue
                self.waiting[later].discard(earlier)
                if not well and earlier in self.parents.get(later, ()):
                    del self.waiting[later]
                    self.blocked.append(later)
                    ended.append((later, False))
                elif not self.waiting[later]:
                    self._start(later, pool)
