"""Slurm as a backend: turns a stage into a script and an sbatch call."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from planit.backends.client import JobRef, SlurmClient
from planit.backends.jobs import ClusterWatcher
from planit.errors import SchedulerError, SubmissionError

_PASSING = ("unable to contact", "timed out", "no answer", "temporarily", "too many", "try again")
_TRIES = 3


@dataclass(frozen=True)
class Dependency:
    """What a stage waits for: ``afterok`` or ``aftercorr`` on a job (or a task of an array)."""

    kind: str
    job: JobRef


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

    def max_array_size(self, cluster: str | None) -> int:
        return self.client.max_array_size(cluster)

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
                return self._find_on(cluster, {tag}).get(tag)
            except SchedulerError as silence:
                if not _is_passing(error):
                    return None
                last = silence
        raise SubmissionError(f"{error.message}; and then {last.message}") from error

    def find(self, tags: Iterable[str], clusters: Iterable[str | None]) -> dict[str, JobRef]:
        """The jobs in the queue whose comment ends with one of `tags`, by tag.

        A cluster that does not answer is passed over: then nothing can be found there.
        """
        wanted = set(tags)
        found: dict[str, JobRef] = {}
        for cluster in dict.fromkeys(clusters):
            with suppress(SchedulerError):
                found.update(self._find_on(cluster, wanted))
        return found

    def find_all(self, tags: Iterable[str], clusters: Iterable[str | None]) -> dict[str, JobRef]:
        """The same, but raises SchedulerError if a cluster does not answer."""
        wanted = set(tags)
        found: dict[str, JobRef] = {}
        for cluster in dict.fromkeys(clusters) if wanted else ():
            found.update(self._find_on(cluster, wanted))
        return found

    def _find_on(self, cluster: str | None, tags: set[str]) -> dict[str, JobRef]:
        found: dict[str, JobRef] = {}
        for view in self.client.queue(cluster).values():
            tag = (view.comment or "").rpartition(" ")[2]
            if tag in tags:
                found[tag] = JobRef(cluster, view.key.partition("_")[0])
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
