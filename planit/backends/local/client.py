"""Reads the events of the engines of a run, and leaves requests for them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.backends.local import events
from planit.backends.local.descendants import end_marked
from planit.record import local_files
from planit.record.jobs import JobRef, JobView

KILL_WAIT_S = 30.0  # Slurm's default
_PAUSE_S = 0.05
_CANCEL_TIMEOUT_S = 20.0  # on top of the time that its steps may take to end


@dataclass(frozen=True)
class LocalClient:
    """Reads the events of the engines of a run, and leaves requests for them."""

    run_path: Path | None = None
    kill_wait_s: float = KILL_WAIT_S

    @property
    def source(self) -> Path | None:
        """Each run has engines of its own."""
        return self.run_path

    def engine(self, number: int) -> events.EngineStatus | None:
        """The engine of a submission, if it was started."""
        if self.run_path is None:
            return None
        return events.read(local_files.events(self.run_path, number))

    def engines(self) -> dict[int, events.EngineStatus]:
        """The engines that were started, by submission."""
        numbers = local_files.with_engine(self.run_path) if self.run_path is not None else ()
        found = {number: self.engine(number) for number in numbers}
        return {number: engine for number, engine in found.items() if engine is not None}

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """The state of every step of every submission that was released."""
        return {view.key: view for engine in self.engines().values() for view in _views(engine)}

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """Nothing is forgotten here."""
        return {}

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Ask the engines to cancel steps, and wait until they have.

        Returns:
            the jobs that are not known to be gone, each with the reason.
        """
        by_number: dict[int, list[JobRef]] = {}
        for job in jobs:
            by_number.setdefault(number_of(job.job_id), []).append(job)
        asked = {
            number: self._ask_to_cancel(number, some)
            for number, some in by_number.items()
            if not self.forbid(number)
        }
        left: dict[JobRef, str] = {}
        end = time.monotonic() + self.kill_wait_s + _CANCEL_TIMEOUT_S
        for number, request in asked.items():
            left |= self._until_over(number, by_number[number], request, end)
        return left

    def _ask_to_cancel(self, number: int, jobs: Iterable[JobRef]) -> Path:
        return self.ask(number, {"action": "cancel", "jobs": [job.job_id for job in jobs]})

    def ask(self, number: int, request: Mapping[str, Any]) -> Path:
        """Leave a request for an engine: a file that it removes when it has done it."""
        assert self.run_path is not None
        return local_files.ask(self.run_path, number, request)

    def forbid(self, number: int) -> bool:
        """Keep the engine of a submission from starting; False if it has."""
        if self.run_path is None:
            return False
        local_files.make(self.run_path)
        return events.forbid(local_files.events(self.run_path, number))

    def _until_over(
        self, number: int, jobs: Sequence[JobRef], request: Path, end: float
    ) -> dict[JobRef, str]:
        engine = self.engine(number)
        while engine is not None and engine.is_running:
            left = [job for job in jobs if request.exists() or not engine.is_over(job.job_id)]
            if not left:
                return {}
            if time.monotonic() > end:
                return dict.fromkeys(left, f"the local engine ({engine.name}) does not react")
            time.sleep(_PAUSE_S)
            engine = self.engine(number)
        request.unlink(missing_ok=True)
        if engine is not None and engine.is_here and (rest := end_marked(engine.mark)):
            return dict.fromkeys(jobs, f"process {rest[0]} of its engine's cannot be ended")
        return {}


def _views(engine: events.EngineStatus) -> Iterator[JobView]:
    """The states of an engine's steps in Slurm's words."""
    alive = engine.is_alive
    now = time.time()
    for key in itertools.chain.from_iterable(engine.stages.values()):
        event = engine.states.get(key, {})
        state = event.get("state", "PENDING")
        if state not in events.FINAL and not alive:
            yield JobView(key, "CANCELLED", reason="planit ended before the step did")
            continue
        elapsed = event.get("elapsed_s")
        if state == "RUNNING":
            elapsed = max(0.0, now - event["at"])
        whole = None if elapsed is None else int(elapsed)
        yield JobView(key, state, whole, engine.host if event else None, cause=event.get("cause"))


def number_of(job_id: str) -> int:
    """The submission that a job id belongs to."""
    return int(job_id.partition(".")[0])
