"""The plan in this process: submitit's debug jobs, in order.

Parallel branches run in threads, or, for debuggers, all steps one by one in the calling thread.
"""

from __future__ import annotations

import traceback
from bdb import BdbQuit
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, Protocol

from planit.errors import StepsFailedError

MAX_THREADS = 64


class DebugJob(Protocol):
    """What is used of a submitit job here."""

    def submission(self) -> Any:
        """The submitted call; its ``result()`` makes it, without touching os.environ or pdb."""

    def cancel(self, check: bool = True) -> None:
        """Mark the job as cancelled."""


def run_in_order(
    plan: str,
    jobs: Mapping[str, DebugJob],
    parents: Mapping[str, Sequence[str]],
    lanes: Mapping[str, Sequence[str]],
) -> None:
    """Run each job when its parents succeeded and those before it in its lane have ended.

    A failed step stops what depends on it; everything else still runs.

    Raises:
        StepsFailedError: names every failed step with its traceback.
    """
    order = _Order(jobs, parents, lanes)
    with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="planit") as pool:
        try:
            order.run(pool)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for name in order.blocked:
        jobs[name].cancel()
    if order.failures:
        raise StepsFailedError(plan, order.failures, order.blocked)


def run_one_by_one(
    plan: str,
    jobs: Mapping[str, DebugJob],
    parents: Mapping[str, Sequence[str]],
    starts: Callable[[str], None],
) -> None:
    """Run all jobs in the order of the plan, in this thread: one debugger has the terminal.

    `starts` is told the name of each step before it runs.

    Raises:
        StepsFailedError: names every failed step with its traceback.
    """
    failures: dict[str, str] = {}
    blocked: dict[str, None] = {}
    for name, job in jobs.items():
        if any(before in failures or before in blocked for before in parents.get(name, ())):
            blocked[name] = None
            job.cancel()
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
    if failures:
        raise StepsFailedError(plan, failures, blocked)


def _call(job: DebugJob) -> Any:
    """Make a step's call; leaving with code 0 is no failure, as in a job."""
    try:
        return job.submission().result()
    except SystemExit as stop:
        if stop.code in (None, 0):
            return None
        raise


class _Order:
    def __init__(
        self,
        jobs: Mapping[str, DebugJob],
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
