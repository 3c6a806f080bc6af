"""What an interrupted submission left: finish it, or clear it away; and stray jobs of a run.

Every stage is submitted held and released only when all are in. So as long as one stage is missing
nothing of the submission has run, and all of it can be cancelled; and if none is missing, only the
release is. Whoever was killed during the release left a submission that runs: it goes on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from planit.backends.base import Backend, Tagged, TaggedJob, refuse_left
from planit.errors import RunError
from planit.record import history as histories
from planit.record import submissions, tickets
from planit.record.history import History
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.record.submissions import SubmittedStage
from planit.record.task_files import has_records
from planit.submit.submission import release

STOPPED = "it had stopped in the middle"


def finish_interrupted(run: RunDir, history: History, backend: Backend, *, finish: bool) -> History:
    """Finish with the newest submission if it is incomplete; the run's history afterwards.

    Args:
        run: the run, whose lock is held.
        history: its history so far.
        backend: asked for jobs whose id never reached the journal.
        finish: release a submission that is all in; otherwise it is cleared away.

    Raises:
        SchedulerError: Slurm does not answer, or does not cancel what has to be.
        RunError: it is to be finished, and what it consists of cannot be read.
    """
    if not history.incomplete:
        return history
    number = history.last_submission
    stages = submissions.read(run.path, number) or []
    found = _queued(history, backend, run.tag_prefix(number), stages)
    jobs = _of_record(run, history, number, stages, found)
    if stages and (has_records(run.path, number) or (finish and len(jobs) == len(stages))):
        found.refuse_no_answer()
        _cancel(backend, [job for job in found.jobs if job.live and job.ref not in jobs.values()])
        names = [name for stage in stages for name in stage.tasks]
        release(run, number, backend, jobs, names)
    else:
        tickets.revoke(run.path, number, STOPPED)
        _cancel(backend, [job for job in found.jobs if job.live])
        found.refuse_no_answer()
        if has_records(run.path, number):  # since it was asked for the first time
            run.journal.append("released", number=number)
        else:
            cancelled = [str(job.ref) for job in found.jobs]
            run.journal.append("aborted", number=number, reason=STOPPED, cancelled=cancelled)
    return histories.read(run)


def clear_strays(run: RunDir, history: History, backend: Backend) -> tuple[JobRef, ...]:
    """Cancel the jobs of a run that no step of its record is in.

    Such as what sbatch accepted late; or what a submission had that cannot be read any more.

    Raises:
        SchedulerError: Slurm does not answer, or does not cancel them.
    """
    found = _queued(history, backend, run.tag_prefix(), [])
    places = history.placements.values()
    ours = {place.job for place in places if place.submission not in history.aborted}
    strays = [job for job in found.jobs if job.live and job.ref not in ours]
    _cancel(backend, strays)
    found.refuse_no_answer()
    return tuple(job.ref for job in strays)


def _queued(
    history: History,
    backend: Backend,
    prefix: str,
    stages: Collection[SubmittedStage],
) -> Tagged:
    """The jobs in the queue whose tags begin with `prefix`, on every cluster of the run."""
    clusters: dict[str | None, None] = {stage.cluster: None for stage in stages}
    clusters |= {job.cluster: None for job in history.jobs.values()}
    clusters |= {place.cluster: None for place in history.placements.values()}
    return backend.tagged(prefix, clusters or {None: None})


def _of_record(
    run: RunDir, history: History, number: int, stages: list[SubmittedStage], found: Tagged
) -> dict[int, JobRef]:
    """The live job of each stage: the one in the journal, else one that only Slurm knows of."""
    live: dict[str, list[JobRef]] = {}
    for job in found.jobs:
        if job.live:
            live.setdefault(job.tag, []).append(job.ref)
    chosen: dict[int, JobRef] = {}
    for stage in stages:
        candidates = live.get(run.tag(number, stage.number), [])
        recorded = history.jobs.get((number, stage.number))
        if recorded in candidates:
            chosen[stage.number] = recorded
        elif candidates and recorded is None:
            chosen[stage.number] = job_ref = candidates[0]
            run.journal.append(
                "submitted",
                number=number,
                stage=stage.number,
                job=job_ref.job_id,
                cluster=job_ref.cluster,
            )
    return chosen


def _cancel(backend: Backend, jobs: Iterable[TaggedJob]) -> None:
    refuse_left(backend.cancel([job.ref for job in jobs]))


def refuse_unreadable(run: RunDir, history: History) -> None:
    """Raise RunError if nobody can tell any more what a submission consists of."""
    unreadable = set(history.unreadable)
    if history.incomplete and not submissions.read(run.path, history.last_submission):
        unreadable.add(history.last_submission)
    for number in sorted(unreadable):
        raise RunError(
            f"{submissions.path_of(run.path, number)} cannot be read",
            hint="planit cancel, without a step, clears what is queued of the run",
        )
