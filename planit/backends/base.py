"""What a backend offers: the seam between runs and whoever runs the steps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from planit.errors import SchedulerError
from planit.graph import Graph
from planit.record.jobs import JobRef, JobView

if TYPE_CHECKING:
    from planit.backends.submitit_jobs import ClusterWatcher

_SHOWN = 5  # jobs in an error


@dataclass(frozen=True)
class Dependency:
    """What a stage waits for: ``afterok`` or ``aftercorr`` on a job (or a task of an array)."""

    kind: str
    job: JobRef


@dataclass(frozen=True)
class TaggedJob:
    """A job in the scheduler's memory, found by its tag.

    Attributes:
        ref: the job, or the whole of the array.
        tag: the last word of its comment.
        live: whether it (or a task of it) waits or runs; its processes may still be ending.
    """

    ref: JobRef
    tag: str
    live: bool


@dataclass(frozen=True)
class Tagged:
    """The jobs of a look by tag, and the clusters that did not answer, each with the reason."""

    jobs: tuple[TaggedJob, ...] = ()
    no_answer: Mapping[str | None, str] = field(default_factory=dict)

    def refuse_no_answer(self) -> None:
        """Raise SchedulerError if a cluster did not answer."""
        if self.no_answer:
            reasons = "; ".join(dict.fromkeys(self.no_answer.values()))
            raise SchedulerError(
                f"cannot tell what is in the queue: {reasons}", hint="try again when Slurm answers"
            )


def refuse_left(left: Mapping[JobRef, str]) -> None:
    """Raise SchedulerError if a cancellation left jobs that are not known to be gone."""
    if not left:
        return
    shown = [f"{job}: {why}" for job, why in list(left.items())[:_SHOWN]]
    more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    raise SchedulerError(
        f"{len(left)} job(s) are not known to be gone: {'; '.join(shown)}{more}",
        hint="try again when Slurm answers: what is still there is cancelled then",
    )


class Client(Protocol):
    """Answers what states jobs are in."""

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """All jobs that the scheduler still knows, by key; a positive answer only.

        Raises:
            UnknownClusterError: there is no such cluster.
            SchedulerError: there is no answer, or not certainly a whole one.
        """

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """What is known of jobs that it has forgotten. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs; those that are not known to be gone, each with the reason.

        Gone: the queue answered, and has it no longer, or as ended or ending. Nothing is raised.
        """


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
            SchedulerError: a cluster that a step names does not answer.
            SubmissionError: it cannot run beside what still runs of the run.
        """

    def begin(self, run_path: Path, number: int) -> None:
        """A submission starts."""

    def default_cluster(self) -> str | None:
        """The cluster for steps that name none; None is the machine's own. Raises ConfigError."""

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
    ) -> JobRef:
        """Take a stage, held, and never twice. Raises SubmissionError."""

    def confirm(self, prefix: str, jobs: Mapping[str, JobRef]) -> None:
        """See that the job of each tag, and no other job of these tags, is in the queue.

        All tags begin with `prefix`.

        Raises:
            SubmissionError: a job is not there, or a second one cannot be cancelled.
            SchedulerError: the scheduler does not answer.
        """

    def tagged(self, prefix: str, clusters: Iterable[str | None]) -> Tagged:
        """The user's jobs whose tag begins with `prefix`, on each of `clusters` that answers.

        One entry per job and tag; several jobs may have one tag. A cluster that the scheduler
        does not know has no jobs.
        """

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Let held jobs start. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs, as `Client.cancel` does."""

    def watcher(self, cluster: str | None) -> ClusterWatcher:
        """The look-up that the submitit jobs of a cluster share."""
