"""This machine as a backend. Nothing starts before `release`, which starts the engine.

Submission, status, cancel and resume are the same code as for Slurm.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.backends.base import Dependency, LiveJob
from planit.backends.client import JobRef, JobView
from planit.backends.jobs import ClusterWatcher
from planit.errors import SchedulerError, SubmissionError
from planit.graph import Graph
from planit.runs.files import make_dir, read_json, write_json
from planit.runs.local import events
from planit.runs.local.children import ENGINE_MARK
from planit.runs.local.machine import Machine, Request

_START_TIMEOUT_S = 60.0
_CANCEL_TIMEOUT_S = 20.0
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class LocalClient:
    """Reads what the engines of a run say."""

    run_path: Path | None = None

    def engine(self, number: int) -> events.Engine | None:
        """The engine of a submission, if it was started."""
        if self.run_path is None:
            return None
        return events.read(self.run_path / "local" / f"{number}.jsonl")

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """The state of every step of every submission that was released."""
        views: dict[str, JobView] = {}
        for path in sorted((self.run_path or Path()).glob("local/*.jsonl")):
            engine = events.read(path)
            if engine is not None and path.stem.isdigit():
                views |= {view.key: view for view in self._views(int(path.stem), engine)}
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

    def cancel(self, jobs: Iterable[JobRef]) -> None:
        """Ask the engines to cancel steps, and wait until they have.

        Raises:
            SchedulerError: an engine does not react.
        """
        if self.run_path is None:
            return
        by_number: dict[int, set[str]] = {}
        for job in jobs:
            number = int(job.job_id.partition(".")[0])
            by_number.setdefault(number, set()).add(job.job_id)
        for number, ids in by_number.items():
            wanted = {
                key for key in keys_of(self.run_path, number) if ids & {key, key.partition("_")[0]}
            }
            self.ask(number, {"action": "cancel", "keys": sorted(wanted)})
            self._until_over(number, wanted)

    def ask(self, number: int, request: Mapping[str, Any]) -> None:
        """Leave a request for an engine."""
        if self.run_path is not None:
            folder = make_dir(self.run_path / "local" / "requests")
            name = f"{number}-{time.time_ns():020}-{secrets.token_hex(2)}.json"
            write_json(folder / name, request)

    def _until_over(self, number: int, wanted: set[str]) -> None:
        end = time.monotonic() + _CANCEL_TIMEOUT_S
        while (engine := self.engine(number)) is not None and engine.is_alive:
            states = {key: engine.states.get(key, {}).get("state") for key in wanted}
            if all(state in events.FINAL for state in states.values()):
                return
            if time.monotonic() > end:
                raise SchedulerError(f"the local engine (process {engine.pid}) does not react")
            time.sleep(0.05)


def keys_of(run_path: Path, number: int) -> list[str]:
    """The job ids of a submission's steps."""
    content = read_json(run_path / "submissions" / f"{number}.json") or {}
    keys: list[str] = []
    for stage in content.get("stages", []):
        key = f"{number}.{stage['number']}"
        keys += [f"{key}_{i}" for i in range(len(stage["tasks"]))] if stage["array"] else [key]
    return keys


@dataclass
class LocalBackend:
    """Runs a plan on this machine.

    Attributes:
        cpus, gpus, mem_gb: what steps can have; by default what the machine has.
        isolation: "fork" starts steps from a warm interpreter, "spawn" each in a fresh one.
        detach: whether the run goes on when this process ends.
    """

    cpus: int | None = None
    gpus: int | None = None
    mem_gb: float | None = None
    isolation: str = "fork"
    detach: bool = True
    python: str = field(default_factory=lambda: shlex.quote(sys.executable))
    client: LocalClient = field(default_factory=LocalClient)
    engine: subprocess.Popen[bytes] | None = None
    number: int = 0
    _hold: int = -1

    name = "local"

    def settings(self) -> dict[str, Any]:
        return {
            "cpus": self.cpus,
            "gpus": self.gpus,
            "mem_gb": self.mem_gb,
            "isolation": self.isolation,
        }

    def check(self, graph: Graph) -> None:
        """Raise PlanError for a step that can never run on this machine."""
        machine = Machine.found(self.settings())
        for stage in graph.stages:
            name = stage.tasks[0].name
            machine.refuse(name, Request.of(name, stage.resources.options))

    def begin(self, run_path: Path, number: int) -> None:
        self.client = LocalClient(run_path)
        self.number = number

    def max_array_size(self, cluster: str | None) -> int:
        return _NO_LIMIT

    def cluster_name(self, cluster: str | None) -> str | None:
        """There is one machine, whatever the steps say."""
        return None

    def submit(
        self,
        script: Path,
        *,
        tag: str,
        cluster: str | None,
        after: Sequence[Dependency],
        held: bool,
    ) -> JobRef:
        """Give the stage its id; the engine reads the rest from the run directory.

        Raises:
            SubmissionError: it waits for a step of an earlier submission that still runs.
        """
        for dependency in after:
            if not dependency.job.job_id.startswith(f"{self.number}."):
                raise SubmissionError(
                    f"it waits for job {dependency.job}, which still runs",
                    hint="planit wait, or planit cancel, and then resume",
                )
        return JobRef(None, f"{self.number}.{tag.rpartition('.')[2]}")

    def find_all(
        self, tags: Mapping[str, int], clusters: Iterable[str | None]
    ) -> dict[int, LiveJob]:
        return {}

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Start the engine.

        Raises:
            SchedulerError: it does not start.
        """
        path = self.client.run_path
        assert path is not None
        log = make_dir(path / "local").joinpath(f"{self.number}.log")
        owner, self._hold = (-1, -1) if self.detach else os.pipe()
        command = [sys.executable, "-m", "planit.runs.local", str(path), str(self.number)]
        with log.open("ab") as file:
            self.engine = subprocess.Popen(
                [*command, json.dumps(self.settings()), str(owner)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, ENGINE_MARK: str(path)},
                pass_fds=[] if self.detach else [owner],
                start_new_session=True,
            )
        if owner >= 0:
            os.close(owner)
        end = time.monotonic() + _START_TIMEOUT_S
        while self.client.engine(self.number) is None:
            if self.engine.poll() is not None or time.monotonic() > end:
                raise SchedulerError(f"the local engine did not start: see {log}")
            time.sleep(0.01)

    def cancel(self, jobs: Iterable[JobRef]) -> None:
        self.client.cancel(jobs)

    def watcher(self, cluster: str | None) -> ClusterWatcher:
        return ClusterWatcher(self.client, cluster)
