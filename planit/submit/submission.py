"""All or nothing: intents, sbatch calls, release; and on any error everything is taken back."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from planit.backends.base import Backend, Dependency
from planit.errors import PlanitError, StorageError, SubmissionError
from planit.graph import Graph, Stage
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir

Progress = Callable[[int, int], None]
"""Called with (done, total): how many stages are submitted."""


def no_progress(_done: int, _total: int) -> None:
    """Show nothing."""


@dataclass
class Submission:
    """One submission of a graph's stages; `submit` is the whole of it.

    Attributes:
        run: where it is journalled.
        number: 1 for the first submission of a run, then one more for each resume.
        backend: who takes the jobs.
        extra: further dependencies of a stage by its number, on jobs of earlier submissions.
    """

    run: RunDir
    number: int
    backend: Backend
    extra: Mapping[int, Sequence[Dependency]] = field(default_factory=dict)
    jobs: dict[int, JobRef] = field(default_factory=dict)

    def submit(self, graph: Graph, scripts: Mapping[int, Path], progress: Progress) -> None:
        """Submit every stage held, see that all are in once, then release them.

        Raises:
            SubmissionError: a stage was refused; all that had been submitted is cancelled.
        """
        self.run.journal.append(
            "submission",
            number=self.number,
            host=socket.gethostname(),
            pid=os.getpid(),
            stages=len(graph.stages),
        )
        stage: Stage | None = None
        try:
            for stage in graph.stages:
                self._submit_stage(stage, scripts[stage.number])
                progress(stage.number + 1, len(graph.stages))
            stage = None
            self._confirm()
            names = [task.name for one in graph.stages for task in one.tasks]
            release(self.run, self.number, self.backend, self.jobs, names)
        except BaseException as error:
            self._take_back(graph, error)
            if isinstance(error, PlanitError):
                raise _refusal(stage, error, len(self.jobs)) from error
            raise

    def _submit_stage(self, stage: Stage, script: Path) -> None:
        tag = self.run.tag(self.number, stage.number)
        after = [Dependency(edge.kind, self.jobs[edge.parent]) for edge in stage.edges]
        self.run.journal.append("intent", number=self.number, stage=stage.number, tag=tag)
        job = self.backend.submit(
            script,
            tag=tag,
            cluster=stage.resources.cluster,
            after=[*after, *self.extra.get(stage.number, ())],
        )
        self.jobs[stage.number] = job
        self.run.journal.append(
            "submitted", number=self.number, stage=stage.number, job=job.job_id, cluster=job.cluster
        )

    def _confirm(self) -> None:
        """Each stage is in the queue, once, under the id that sbatch gave.

        Raises:
            SubmissionError: it is not, or a second job of a stage cannot be cancelled.
            SchedulerError: Slurm does not answer.
        """
        tags = {self.run.tag(self.number, stage): job for stage, job in self.jobs.items()}
        self.backend.confirm(self.run.tag_prefix(self.number), tags)

    def _take_back(self, graph: Graph, error: BaseException) -> None:
        """Cancel all that is in, also what sbatch accepted without our hearing of it.

        What cannot be cancelled stays held and refuses to run; the submission then stays
        incomplete, and `resume` or `cancel` finish with it.
        """
        reason = getattr(error, "message", str(error)) or type(error).__name__
        unwritten = None
        try:
            tickets.revoke(self.run.path, self.number, reason)
        except StorageError as problem:  # without a ticket nothing of it runs, either
            unwritten = problem
        prefix = self.run.tag_prefix(self.number)
        found = self.backend.tagged(prefix, {stage.resources.cluster for stage in graph.stages})
        jobs = [job.ref for job in found.jobs if job.live]
        left = [f"job {job}: {why}" for job, why in self.backend.cancel(jobs).items()]
        left += [f"cluster {name or 'default'}: {why}" for name, why in found.no_answer.items()]
        if left:
            left += [unwritten.message] if unwritten else []
            raise SubmissionError(
                f"{reason}; and what was submitted could not be taken back ({'; '.join(left)})",
                hint="what is left is held and never starts; when Slurm answers and the disk"
                " takes files again, planit resume finishes the submission and planit cancel"
                " clears it",
            ) from error
        with suppress(StorageError):
            self.run.journal.append(
                "aborted", number=self.number, reason=reason, cancelled=[str(job) for job in jobs]
            )


def release(
    run: RunDir, number: int, backend: Backend, jobs: Mapping[int, JobRef], names: Sequence[str]
) -> None:
    """Let a submission that is all in start: its ticket first, then the jobs.

    The ticket of a submission that has begun to run stays as it is.

    Raises:
        SchedulerError: a job is still held.
    """
    ticket = tickets.read(run.path, number)
    if ticket is None or ticket.revoked is not None:
        tickets.issue(run.path, number, jobs, names)
    backend.release(jobs.values())
    run.journal.append("released", number=number)


def _refusal(stage: Stage | None, error: PlanitError, submitted: int) -> PlanitError:
    if isinstance(error, StorageError):
        return error
    where = f"step {stage.tasks[0].name!r} was refused" if stage else "the jobs were not released"
    undone = f"the {submitted} job(s) before it were cancelled" if submitted else None
    hint = "; ".join(part for part in (error.hint, undone, "nothing is left in the queue") if part)
    return SubmissionError(f"{where}: {error.message}", hint=hint)
