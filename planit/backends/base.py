"""What a backend offers: the seam between runs and whoever runs the steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from planit.graph import Graph
from planit.record.jobs import JobRef, JobView

if TYPE_CHECKING:
    from planit.backends.jobs import ClusterWatcher


@dataclass(frozen=True)
class Dependency:
    """What a stage waits for: ``afterok`` or ``aftercorr`` on a job (or a task of an array)."""

    kind: str
    job: JobRef


@dataclass(frozen=True)
class LiveJob:
    """A job in the scheduler's memory, and whether it (or a task of it) waits or runs."""

    ref: JobRef
    live: bool


@dataclass(frozen=True)
class TaggedJob:
    """A job in the queue with a tag of planit's, and whether it (or a task of it) has not ended."""

    ref: JobRef
    tag: str
    live: bool


@dataclass(frozen=True)
class Tagged:
    """The jobs that were found by their tags.

    Attributes:
        jobs: one entry per job and tag; several jobs may have the same tag.
        no_answer: by cluster that did not answer, what it said.
    """

    jobs: tuple[TaggedJob, ...] = ()
    no_answer: Mapping[str | None, str] = field(default_factory=dict)


class Client(Protocol):
    """Answers what states jobs are in."""

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """All jobs that the scheduler still knows, by key. Raises SchedulerError."""

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """What is known of jobs that it has forgotten. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> None:
        """Cancel jobs; those that have ended are passed over. Raises SchedulerError."""


class Backend(Protocol):
    """Takes stages as jobs, held until all are in.

    Attributes:
        name: as in ``backend.name``.
        python: shell words that start the Python of the steps.
        look_every_s: seconds between two looks of somebody who waits.
    """

    @property
    def name(self) -> str: ...
    @property
    def python(self) -> str: ...
    @property
    def look_every_s(self) -> float: ...
    @property
    def client(self) -> Client: ...

    def settings(self) -> dict[str, Any]:
        """What makes the same backend again, for the record of the run."""

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        """Refuse what cannot run here, before anything is changed.

        Args:
            graph: what is to be submitted.
            run_path: the run that it continues, if it is no new one.

        Raises:
            PlanError: a step can never run here.
            SubmissionError: it cannot run beside what still runs of the run.
        """

    def begin(self, run_path: Path, number: int) -> None:
        """A submission starts."""

    def max_array_size(self, cluster: str | None) -> int:
        """The most tasks of one array."""

    def cluster_name(self, cluster: str | None) -> str | None:
        """What a cluster is really called; None is the default one."""

    def submit(
        self,
        script: Path,
        *,
        tag: str,
        cluster: str | None,
        after: Sequence[Dependency],
        held: bool,
    ) -> JobRef:
        """Take a stage, never twice. Raises SubmissionError."""

    def find_all(
        self, tags: Mapping[str, int], clusters: Iterable[str | None]
    ) -> dict[int, LiveJob]:
        """Jobs by stage number. Raises SchedulerError."""

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Let held jobs start. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> None:
        """Cancel jobs. Raises SchedulerError."""

    def watcher(self, cluster: str | None) -> ClusterWatcher:
        """The look-up that the submitit jobs of a cluster share."""
