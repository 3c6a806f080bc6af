"""Reads what the engines of a run say, and asks them for something."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.backends.local import events
from planit.errors import SchedulerError
from planit.record.files import make_dir, read_json, write_json
from planit.record.jobs import JobRef, JobView

KILL_WAIT_S = 30.0  # Slurm's default
_CANCEL_TIMEOUT_S = 20.0  # on top of the time that its steps may take to end


@dataclass(frozen=True)
class LocalClient:
    """Reads what the engines of a run say."""

    run_path: Path | None = None
    kill_wait_s: float = KILL_WAIT_S

    def engine(self, number: int) -> events.Engine | None:
        """The engine of a submission, if it was started."""
        if self.run_path is None:
            return None
        return events.read(events.path_of(self.run_path, number))

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """The state of every step of every submission that was released."""
        views: dict[str, JobView] = {}
        for number in submissions_of(self.run_path) if self.run_path is not None else ():
            if (engine := self.engine(number)) is not None:
                views |= {view.key: view for view in self._views(number, engine)}
        return views

    def _views(self, number: int, engine: events.Engine) -> Iterator[JobView]:
        alive = engine.is_alive
        now = time.time()
        for key in keys_of(self.run_path or Path(), number):
            said = engine.states.get(key, {})
            state = said.get("state", "PENDING")
            if state not in events.FINAL and not alive:
                yield JobView(key, "CANCELLED", reason="planit ended before the step did")
                continue
            elapsed = said.get("elapsed_s")
            if state == "RUNNING":
                elapsed = max(0.0, now - said["at"])
            whole = None if elapsed is None else int(elapsed)
            yield JobView(key, state, whole, socket.gethostname() if said else None)

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """Nothing is forgotten here."""
        return {}

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Ask the engines to cancel steps, and wait until they have.

        Returns:
            The jobs of engines that do not react, with the reason.
        """
        left: dict[JobRef, str] = {}
        if self.run_path is None:
            return left
        by_number: dict[int, dict[str, JobRef]] = {}
        for job in jobs:
            by_number.setdefault(number_of(job.job_id), {})[job.job_id] = job
        for number, refs in by_number.items():
            if self.forbid(number):
                continue
            keys = keys_of(self.run_path, number)
            wanted = {key for key in keys if refs.keys() & {key, key.partition("_")[0]}}
            self.ask(number, {"action": "cancel", "keys": sorted(wanted)})
            try:
                self._until_over(number, wanted)
            except SchedulerError as silence:
                left |= dict.fromkeys(refs.values(), silence.message)
        return left

    def ask(self, number: int, request: Mapping[str, Any]) -> None:
        """Leave a request for an engine."""
        if self.run_path is not None:
            folder = make_dir(self.run_path / "local" / "requests")
            name = f"{number}-{time.time_ns():020}-{secrets.token_hex(2)}.json"
            write_json(folder / name, request)

    def forbid(self, number: int) -> bool:
        """Keep the engine of a submission from starting; False if it has."""
        if self.run_path is None:
            return False
        make_dir(self.run_path / "local")
        return events.forbid(events.path_of(self.run_path, number))

    def _until_over(self, number: int, wanted: set[str]) -> None:
        end = time.monotonic() + self.kill_wait_s + _CANCEL_TIMEOUT_S
        while (engine := self.engine(number)) is not None and engine.is_alive:
            states = {key: engine.states.get(key, {}).get("state") for key in wanted}
            if all(state in events.FINAL for state in states.values()):
                return
            if time.monotonic() > end:
                raise SchedulerError(f"the local engine (process {engine.pid}) does not react")
            time.sleep(0.05)


def number_of(job_id: str) -> int:
    """The submission that a job id belongs to."""
    return int(job_id.partition(".")[0])


def submissions_of(run_path: Path) -> list[int]:
    """The numbers of the submissions that have an engine's file."""
    stems = (path.stem for path in run_path.glob("local/*.jsonl"))
    return sorted(int(stem) for stem in stems if stem.isdigit())


def keys_of(run_path: Path, number: int) -> list[str]:
    """The job ids of a submission's steps."""
    content = read_json(run_path / "submissions" / f"{number}.json") or {}
    keys: list[str] = []
    for stage in content.get("stages", []):
        key = f"{number}.{stage['number']}"
        keys += [f"{key}_{i}" for i in range(len(stage["tasks"]))] if stage["array"] else [key]
    return keys
