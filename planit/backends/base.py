"""What a backend offers: the seam between runs and whoever runs the steps."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, runtime_checkable

from planit.backends.attached import AttachedRun
from planit.errors import PlanError, SchedulerError
from planit.graph import Graph, Stage
from planit.record.jobs import JobRef, JobView
from planit.record.run_dir import RunDir
from planit.record.stage_dir import StageDir

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
    """The jobs found by tag, and the clusters that did not answer, each with the reason."""

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
    """Raise SchedulerError if a cancellation left jobs that may still be there."""
    if not left:
        return
    shown = [f"{job}: {why}" for job, why in list(left.items())[:_SHOWN]]
    more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    raise SchedulerError(
        f"{len(left)} job(s) are not known to be gone: {'; '.join(shown)}{more}",
        hint="try again when Slurm answers: what is still there is cancelled then",
    )


@dataclass(frozen=True)
class StageOnDisk:
    """A stage of a submission, and where its first step is.

    Attributes:
        plan: name of the plan.
        submission: its number.
        step_dir: the first step's own folder; it exists while the step runs.
        checkpoints: whether one of them can save itself when it is warned.
    """

    run: RunDir
    plan: str
    submission: int
    stage: Stage
    step_dir: Path
    checkpoints: bool = False

    @property
    def folder(self) -> StageDir:
        """The stage's own folder."""
        return self.run.stage_dir(self.submission, self.stage.number)


@dataclass(frozen=True)
class Refusal:
    """What a scheduler would refuse, or never start.

    Attributes:
        stage: the stage that has it.
        field: the parameter, as `planit.SlurmArgs` calls it; None if it is not known.
        error: what is wrong, without the step.
    """

    stage: Stage
    field: str | None
    error: PlanError


@dataclass
class Preview:
    """What a scheduler says of stages that are not submitted.

    Attributes:
        refusals: what it would refuse, or never start.
        starts: when stages could start if they were submitted now, as the scheduler estimates.
        not_checked: what could not be asked, and why.
    """

    refusals: list[Refusal] = field(default_factory=list)
    starts: list[tuple[Stage, str]] = field(default_factory=list)
    not_checked: list[str] = field(default_factory=list)

    def add(self, stages: Iterable[Stage], name: str | None, error: PlanError) -> None:
        """Add what is wrong with the parameter `name` of several stages."""
        self.refusals += [Refusal(stage, name, error) for stage in stages]


@runtime_checkable
class CanPreview(Protocol):
    """A backend whose scheduler can be asked about stages before they are submitted."""

    def preview(self, stages: Iterable[Stage]) -> Preview:
        """Ask; nothing is raised for what is wrong."""


class Client(Protocol):
    """Answers what states jobs are in.

    Attributes:
        source: equal for clients that ask the same scheduler.
    """

    @property
    def source(self) -> Hashable: ...

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """All jobs that the scheduler still has, by key; a positive answer only.

        Raises:
            UnknownClusterError: there is no such cluster.
            SchedulerError: there is no answer, or not certainly a whole one.
        """

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """What is recorded of jobs that it has forgotten. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs; those that are not known to be gone, each with the reason.

        Gone: the queue answered, and has it no longer, or as ended or ending. Nothing is raised.
        """


@dataclass(frozen=True)
class CachedQueue:
    """A client that asks each cluster for its queue once, for however many runs."""

    client: Client
    _answers: dict[str | None, dict[str, JobView] | SchedulerError] = field(default_factory=dict)

    @property
    def source(self) -> Hashable:
        return self.client.source

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """The queue, or the error, as it was at the first call."""
        if cluster not in self._answers:
            try:
                self._answers[cluster] = self.client.queue(cluster)
            except SchedulerError as error:
                self._answers[cluster] = error
        answer = self._answers[cluster]
        if isinstance(answer, SchedulerError):
            raise answer
        return answer

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        return self.client.accounting(cluster, keys)

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        return self.client.cancel(jobs)


class Backend(Protocol):
    """Takes stages as jobs, held until all are in.

    Attributes:
        name: as in ``backend.name``.
        packs: whether a Packed is a job of its own here, and not just what it holds.
        poll_interval_s: longest pause between two polls of somebody who waits, in seconds.
    """

    @property
    def name(self) -> str: ...
    @property
    def packs(self) -> bool: ...
    @property
    def poll_interval_s(self) -> float: ...
    @property
    def client(self) -> Client: ...

    def settings(self) -> dict[str, Any]:
        """What makes the same backend again, for the record of the run."""

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        """The same backend with some settings changed.

        Raises:
            ConfigError: there is no such setting, or the value is not of its kind.
        """

    def attached(self) -> Backend:
        """The same backend, whose runs end with this process if they can."""

    def attached_run(self) -> AttachedRun | None:
        """The submission just made, if it ends with this process; None if it goes on by itself."""

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        """Refuse what cannot run here, before anything is changed.

        Args:
            graph: what is to be submitted.
            run_path: the run that it continues, if it is not a new one.

        Raises:
            PlanError: a step can never run here.
            SchedulerError: a cluster that a step names does not answer.
            SubmissionError: it cannot run beside what still runs of the run.
        """

    def open_run(self, run_path: Path) -> None:
        """All that follows is about this run."""

    def default_cluster(self) -> str | None:
        """The cluster for steps that name none; None is the machine's own. Raises ConfigError."""

    def max_array_size(self, cluster: str | None) -> int:
        """The largest number of tasks in one array."""

    def cluster_name(self, cluster: str | None) -> str | None:
        """The real name of a cluster; None is the default one."""

    def ranks(self, stage: Stage) -> int:
        """How many processes each step of a stage is started as."""

    def script(self, stage: StageOnDisk) -> str:
        """The text of the script of a stage, which `submit` is given.

        Raises:
            PlanError: it cannot be written.
        """

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
        does not have has no jobs.
        """

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Let held jobs start. Raises SchedulerError."""

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs, as `Client.cancel` does."""
