"""Slurm as a backend: turns a stage into a script and an sbatch call."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.backends.base import Dependency, LiveJob
from planit.backends.jobs import ClusterWatcher
from planit.backends.slurm.client import SlurmClient
from planit.errors import SchedulerError, SubmissionError
from planit.graph import Graph
from planit.record.jobs import JobRef

_PASSING = ("unable to contact", "timed out", "no answer", "temporarily", "too many", "try again")
_TRIES = 3


@dataclass
class SlurmBackend:
    """Submits, releases, cancels and finds jobs.

    Attributes:
        client: the command line tools.
        kill_on_invalid_dep: whether Slurm is told to cancel what can never run. Some sites had
            trouble with it; without it such jobs stay pending until `planit cancel` clears them.
        python: shell words that start the Python in the jobs.
        retry_wait_s: pause before an sbatch call is repeated after a passing failure.
    """

    client: SlurmClient = field(default_factory=SlurmClient)
    kill_on_invalid_dep: bool = True
    python: str = field(default_factory=lambda: shlex.quote(sys.executable))
    retry_wait_s: float = 1.0
    _watchers: dict[str | None, ClusterWatcher] = field(default_factory=dict)

    name = "slurm"
    look_every_s = 10.0

    def settings(self) -> dict[str, Any]:
        """What makes the same backend again."""
        return {"kill_on_invalid_dep": self.kill_on_invalid_dep}

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        """Slurm itself says what it refuses."""

    def begin(self, run_path: Path, number: int) -> None:
        """Nothing to do before the first sbatch call."""

    def max_array_size(self, cluster: str | None) -> int:
        return int(self.client.setting("MaxArraySize", cluster))

    def cluster_name(self, cluster: str | None) -> str | None:
        """The name of a cluster; that of the default one is asked for."""
        return self.client.setting("ClusterName", cluster) if cluster is None else cluster

    def submit(
        self,
        script: Path,
        *,
        tag: str,
        cluster: str | None,
        after: Sequence[Dependency],
        held: bool,
    ) -> JobRef:
        """Submit a script; never twice, even if sbatch fails after Slurm has accepted the job.

        Raises:
            SubmissionError: in Slurm's own words.
        """
        options = ["--hold"] if held else []
        if after:
            options.append("--dependency=" + dependency_text(after))
            if self.kill_on_invalid_dep:
                options.append("--kill-on-invalid-dep=yes")
        for attempt in range(1, _TRIES + 1):
            try:
                job = self.client.submit(str(script), options)
                return JobRef(job.cluster or cluster, job.job_id)
            except SubmissionError as error:
                if found := self._accepted_after_all(tag, cluster, error):
                    return found
                if attempt == _TRIES or not _is_passing(error):
                    raise
        raise AssertionError("unreachable")

    def _accepted_after_all(
        self, tag: str, cluster: str | None, error: SubmissionError
    ) -> JobRef | None:
        """The job that a failed sbatch call left in the queue, or None if Slurm says it is not.

        A call is only repeated on Slurm's word that there is no such job, never on its silence.
        """
        for attempt in range(1, _TRIES + 1):
            if _is_passing(error):
                time.sleep(self.retry_wait_s * attempt)
            try:
                found = self._find_on(cluster, {tag}).get(tag)
                return found.ref if found else None
            except SchedulerError as silence:
                if not _is_passing(error):
                    return None
                last = silence
        raise SubmissionError(f"{error.message}; and then {last.message}") from error

    def find_all(
        self, tags: Mapping[str, int], clusters: Iterable[str | None]
    ) -> dict[int, LiveJob]:
        """The jobs that Slurm still knows whose comment ends with one of `tags`, by its number.

        Raises:
            SchedulerError: a cluster does not answer.
        """
        found: dict[int, LiveJob] = {}
        for cluster in dict.fromkeys(clusters) if tags else ():
            for tag, job in self._find_on(cluster, set(tags)).items():
                found[tags[tag]] = job
        return found

    def _find_on(self, cluster: str | None, tags: set[str]) -> dict[str, LiveJob]:
        found: dict[str, LiveJob] = {}
        for view in self.client.queue(cluster).values():
            tag = (view.comment or "").rpartition(" ")[2]
            if tag in tags:
                ref = JobRef(cluster, view.key.partition("_")[0])
                live = view.is_live or (tag in found and found[tag].live)
                found[tag] = LiveJob(ref, live)
        return found

    def release(self, jobs: Iterable[JobRef]) -> None:
        self.client.release(jobs)

    def cancel(self, jobs: Iterable[JobRef]) -> None:
        self.client.cancel(jobs)

    def watcher(self, cluster: str | None) -> ClusterWatcher:
        """The look-up that all jobs of a cluster share."""
        if cluster not in self._watchers:
            self._watchers[cluster] = ClusterWatcher(self.client, cluster)
        return self._watchers[cluster]


def dependency_text(after: Sequence[Dependency]) -> str:
    """Sbatch's ``--dependency``, for instance ``afterok:1:2,aftercorr:3``."""
    kinds = dict.fromkeys(dependency.kind for dependency in after)
    return ",".join(
        ":".join([kind, *dict.fromkeys(d.job.job_id for d in after if d.kind == kind)])
        for kind in kinds
    )


def _is_passing(error: SubmissionError) -> bool:
    text = error.message.lower()
    return any(word in text for word in _PASSING)
