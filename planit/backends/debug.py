"""The plan in this process: submitit's debug jobs, in order, parallel branches in threads."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
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
    plan: str, jobs: Mapping[str, DebugJob], parents: Mapping[str, Sequence[str]]
) -> None:
    """Run each job when its parents succeeded, as many at once as the plan allows.

    A failed step stops what depends on it; everything else still runs.

    Raises:
        StepsFailedError: names every failed step with its traceback.
    """
    order = _Order(jobs, parents)
    with ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="planit") as pool:
        try:
            order.run(pool)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for name in order.waiting:
        jobs[name].cancel()
    if order.failures:
        raise StepsFailedError(plan, order.failures, order.waiting)


class _Order:
    def __init__(self, jobs: Mapping[str, DebugJob], parents: Mapping[str, Sequence[str]]) -> None:
        self.jobs = jobs
        self.waiting = {name: set(parents.get(name, ())) for name in jobs}
        self.children: dict[str, list[str]] = {name: [] for name in jobs}
        self.failures: dict[str, str] = {}
        self.running: dict[Future[Any], str] = {}
        for name, before in self.waiting.items():
            for parent in before:
                self.children[parent].append(name)

    def run(self, pool: ThreadPoolExecutor) -> None:
        for name in [name for name, before in self.waiting.items() if not before]:
            self._start(name, pool)
        while self.running:
            for future in wait(self.running, return_when=FIRST_COMPLETED).done:
                self._ended(self.running.pop(future), future.exception(), pool)

    def _start(self, name: str, pool: ThreadPoolExecutor) -> None:
        del self.waiting[name]
        self.running[pool.submit(self.jobs[name].submission().result)] = name

    def _ended(self, name: str, error: BaseException | None, pool: ThreadPoolExecutor) -> None:
        if error is not None:
            self.failures[name] = "".join(traceback.format_exception(error))
            return
        for child in self.children[name]:
            self.waiting[child].discard(name)
            if not self.waiting[child]:
                self._start(child, pool)
