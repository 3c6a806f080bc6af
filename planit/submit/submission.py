"""All or nothing: intents, sbatch calls, release; and on any error everything is taken back."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planit.backends.base import Backend, Dependency, refuse_left
from planit.errors import PlanitError, SubmissionError
from planit.graph import Graph, Stage
from planit.record.jobs import JobRef
from planit.record.rundir import RunDir

Progress = Callable[[int, int], None]
"""Told how many of how many stages are submitted."""


def no_progress(_done: int, _all: int) -> None:
    """Say nothing."""


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
        """Submit every stage, then release the held roots.

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
            self._release(graph.stages)
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
            held=stage.is_root,
        )
        self.jobs[stage.number] = job
        self.run.journal.append(
            "submitted", number=self.number, stage=stage.number, job=job.job_id, cluster=job.cluster
        )

    def _release(self, stages: Iterable[Stage]) -> None:
        self.backend.release(self.jobs[stage.number] for stage in stages if stage.is_root)
        self.run.journal.append("released", number=self.number)

    def _take_back(self, graph: Graph, error: BaseException) -> None:
        """Cancel all that is in, also what sbatch accepted without our hearing of it.

        Where Slurm does not answer, the submission stays incomplete: its roots are held, and
        `resume` or `cancel` settle it when Slurm answers again.
        """
        reason = str(error) or type(error).__name__
        prefix = self.run.tag(self.number, 0).removesuffix("0")
        clusters = {stage.resources.cluster for stage in graph.stages}
        try:
            found = self.backend.tagged(prefix, clusters)
            jobs = dict.fromkeys([*self.jobs.values(), *(job.ref for job in found.jobs)])
            left = self.backend.cancel(jobs)
            found.refuse_silence()
            refuse_left(left)
        except PlanitError as silence:
            raise SubmissionError(
                f"{reason}; and what was submitted could not be taken back: {silence.message}",
                hint="it is held and never starts; when Slurm answers again, planit resume"
                " finishes the submission and planit cancel clears it",
            ) from error
        self.run.journal.append(
            "aborted", number=self.number, reason=reason, cancelled=[str(job) for job in jobs]
        )


def _refusal(stage: Stage | None, error: PlanitError, submitted: int) -> PlanitError:
    where = f"step {stage.tasks[0].name!r} was refused" if stage else "the jobs were not released"
    undone = f"the {submitted} job(s) before it were cancelled" if submitted else None
    hint = "; ".join(part for part in (error.hint, undone, "nothing is left in the queue") if part)
    return SubmissionError(f"{where}: {error.message}", hint=hint)
