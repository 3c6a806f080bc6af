"""What a packed job says of one of its steps: from the job's state and the step's markers."""

from __future__ import annotations

from dataclasses import replace

from planit.record.jobs import JobView
from planit.record.markers import JOB_ENDED, TIME_LIMIT, EndMarker, Outcome, Tries

_RUNS = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "RESIZING"})

_CLOCKS_S = 5.0  # what two clocks, and seconds cut off, may make of the time of a start


def in_packed_job(
    job: JobView,
    tries: Tries,
    *,
    started: bool,
    end: EndMarker | None,
    at: float,
    log: str = "",
) -> JobView:
    """A step as a scheduler would show it that ran each step of the job by itself.

    Args:
        job: the packed job, as the scheduler shows it.
        tries: the attempts at the step.
        started: whether the step has started in this job.
        end: how its last attempt ended.
        at: now, in seconds since 1970.
        log: the job's own.
    """
    if end is not None and end.outcome is Outcome.SUCCEEDED:  # once and for all
        return replace(job, state="COMPLETED", elapsed_s=None)
    if job.state in _RUNS:
        return _inside(job, tries, started=started, end=end, at=at)
    if job.is_live or job.state == "COMPLETED":  # it waits, perhaps once more; or all succeeded
        return job
    if end is not None and _is_own(end):
        return replace(job, state=_state_of(end), elapsed_s=None)
    if not started:
        cause = f"the job that it is packed in ended before it began ({job.state}): see {log}"
        return replace(job, state="CANCELLED", cause=cause, elapsed_s=None, node=None)
    return replace(
        job, elapsed_s=None if end is None or end.elapsed_s is None else int(end.elapsed_s)
    )


def _inside(
    job: JobView, tries: Tries, *, started: bool, end: EndMarker | None, at: float
) -> JobView:
    """A step of a job that runs."""
    last = tries.last
    begun = None if last is None or last not in tries.starts else tries.starts[last].started
    job_began = None if job.elapsed_s is None else at - job.elapsed_s - _CLOCKS_S
    if begun is not None and job_began is not None and begun < job_began:  # it was requeued since
        started, end = False, None
    if end is not None and not _is_own(end) and (_with_job(end) or job.state == "COMPLETING"):
        return replace(job, elapsed_s=None)  # it ends with the job, of which Slurm knows why
    if end is not None and end.outcome is not Outcome.REQUEUED:
        return replace(job, state=_state_of(end), elapsed_s=None)
    if not started or end is not None:
        return replace(job, state="PENDING", elapsed_s=None, node=None, reason=None)
    return replace(job, state="RUNNING", elapsed_s=None if begun is None else int(at - begun))


def _is_own(end: EndMarker) -> bool:
    """Whether a step ended by itself, and not with its job."""
    if _with_job(end):
        return False
    return end.outcome not in (Outcome.TERMINATED, Outcome.REQUEUED) or _out_of_time(end)


def _with_job(end: EndMarker) -> bool:
    return end.error is not None and end.error.type == JOB_ENDED


def _out_of_time(end: EndMarker) -> bool:
    return end.error is not None and end.error.type == TIME_LIMIT


def _state_of(end: EndMarker) -> str:
    return "TIMEOUT" if _out_of_time(end) else "FAILED"
