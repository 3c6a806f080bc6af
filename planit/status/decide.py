"""From evidence to a state: every rule, in order, in one function."""

from __future__ import annotations

from typing import NamedTuple

from planit.record.markers import JOB_ENDED, TIME_LIMIT, EndMarker, Outcome
from planit.status.evidence import Answer, Evidence
from planit.status.states import State, printable

LOST_AFTER_S = 120.0  # a job that queue and accounting leave out for so long is lost

# Slurm's job states (squeue manual, "JOB STATE CODES", 22.05 to 26.05) as states of a step.
SLURM_STATES = {
    "COMPLETED": State.DONE,
    "PENDING": State.PENDING,
    "REQUEUED": State.PENDING,
    "REQUEUE_FED": State.PENDING,
    "EXPEDITING": State.PENDING,  # requeued, to start first; 26.05 shows it, its manual does not
    "REQUEUE_HOLD": State.HELD,
    "SPECIAL_EXIT": State.HELD,
    "RESV_DEL_HOLD": State.HELD,
    "RUNNING": State.RUNNING,
    "CONFIGURING": State.RUNNING,
    "COMPLETING": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "STOPPED": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING,
    "RESIZING": State.RUNNING,
    "PREEMPTED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
    "CANCELLED": State.CANCELLED,
    "DEADLINE": State.TIMEOUT,
    "TIMEOUT": State.TIMEOUT,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "NODE_FAIL": State.NODE_FAIL,
    "BOOT_FAIL": State.NODE_FAIL,
    "FAILED": State.FAILED,
}
_SIGKILL_EXIT = 137


class Verdict(NamedTuple):
    """A state and why.

    Attributes:
        cause: for what failed or will not run.
        stale: the state is the last one that was found, not today's.
        by_marker: the end marker decided, and its times and error belong to the state.
        queued: the queue still has the job.
        never: it waits, and Slurm will never start it.
    """

    state: State
    cause: str | None = None
    stale: bool = False
    by_marker: bool = False
    queued: bool = False
    never: bool = False


def decide(e: Evidence) -> Verdict:  # noqa: C901, PLR0911, PLR0912 (a table: one rule a line)
    """The state of a step. The first rule that fits decides."""
    # Nothing of it is anywhere.
    if not e.submitted:
        return Verdict(State.NOT_SUBMITTED)
    if e.aborted is not None and e.cancelled:
        return Verdict(State.CANCELLED, "cancelled by planit")
    if e.aborted is not None:
        return Verdict(State.NOT_SUBMITTED, f"the submission was taken back: {e.aborted}")
    if not e.has_job:
        return Verdict(State.NOT_SUBMITTED, "the submission stopped before it")
    # Its end marker decides, unless it was requeued by hand since.
    if e.outcome is Outcome.SUCCEEDED:
        return _requeued(e) or Verdict(State.DONE, by_marker=True)
    if e.outcome is Outcome.BLOCKED:
        return _live(e) or Verdict(State.BLOCKED, _error_line(e.end), by_marker=True)
    if _ran_out_of_memory(e):
        return Verdict(State.OUT_OF_MEMORY, "out of memory", by_marker=e.outcome is not None)
    if e.outcome is Outcome.FAILED and e.answer is Answer.NO_ANSWER:
        return Verdict(State.FAILED, _error_line(e.end), by_marker=True, stale=True)
    if e.outcome is Outcome.FAILED:
        return _live(e) or Verdict(State.FAILED, _error_line(e.end), by_marker=True)
    # It has not ended by itself: the scheduler decides.
    if e.answer is Answer.NO_ANSWER:
        return Verdict(_last_state(e), stale=True)
    if e.view is not None:
        return _from_scheduler(e)
    if e.outcome is Outcome.TERMINATED:
        return Verdict(State.CANCELLED, _error_line(e.end))
    if e.outcome is Outcome.KILLED:
        return Verdict(State.FAILED, _error_line(e.end), by_marker=True)
    if e.cancelled:
        return Verdict(State.CANCELLED, "cancelled by planit")
    # Neither queue nor accounting show it. One answer that leaves it out proves nothing.
    if e.missing_s < LOST_AFTER_S:
        return Verdict(_last_state(e), "Slurm does not show the job", stale=True)
    return Verdict(State.LOST, "Slurm no longer has the job, and it left no end marker")


def _requeued(e: Evidence) -> Verdict | None:
    """A step that succeeded and was put back into the queue by hand."""
    waits = e.is_live and SLURM_STATES.get(str(e.view and e.view.state)) in _WAITING
    return _from_scheduler(e) if waits else None


_ENDED_BY_SIGNAL = (Outcome.KILLED, Outcome.TERMINATED)
_WAITING = (State.PENDING, State.HELD)


def _live(e: Evidence) -> Verdict | None:
    """By the queue, if the job has not ended there: it was requeued, or is about to end."""
    return _from_scheduler(e) if e.is_live and not e.is_ending else None


def _from_scheduler(e: Evidence) -> Verdict:
    assert e.view is not None
    state = SLURM_STATES.get(e.view.state, State.RUNNING)
    queued = not state.is_final
    if e.view.state == "PENDING":
        waits = State.HELD if e.view.is_held else State.PENDING
        return Verdict(waits, _why_it_waits(e), queued=True, never=_never_starts(e))
    if state is State.DONE and e.outcome is not None:
        return Verdict(State.FAILED, _error_line(e.end), by_marker=True)
    by_marker = state is State.FAILED and e.view.cause is None and e.outcome in _ENDED_BY_SIGNAL
    cause = _cause(state, e) if state.is_failure else None
    return Verdict(state, cause, by_marker=by_marker, queued=queued)


# Reasons of a job that waits which say nothing new, or pass by themselves within minutes.
_EVERYDAY = {
    "None", "Priority", "Resources", "Dependency", "DependencyNeverSatisfied", "JobArrayTaskLimit",
    "Prolog", "Cleaning",
}  # fmt: skip


def _why_it_waits(e: Evidence) -> str | None:
    reason = (e.view and e.view.reason) or "None"
    if _never_starts(e):
        return f"{printable(reason)}, so Slurm will never start it"
    everyday = set(reason.split(",")) <= _EVERYDAY  # several for tasks of an array
    return None if everyday else printable(reason)


def _never_starts(e: Evidence) -> bool:
    """What Slurm says of dependencies counts where no step before it, but another job, failed."""
    assert e.view is not None
    failed = e.is_first and e.view.reason == "DependencyNeverSatisfied"
    return failed or e.view.never_starts


_PLAIN_CAUSES = {State.TIMEOUT: "exceeded the time limit", State.OUT_OF_MEMORY: "out of memory"}


def _cause(state: State, e: Evidence) -> str:
    assert e.view is not None
    if e.view.cause is not None:
        return printable(e.view.cause)
    if state in _PLAIN_CAUSES:
        return _PLAIN_CAUSES[state]
    if state is State.CANCELLED:
        return "cancelled while it ran" if e.started else "cancelled before it ran"
    if e.outcome in _ENDED_BY_SIGNAL:
        return _error_line(e.end)
    if not e.started:
        return "the job ended before the step began: see its log (setup lines, worker)"
    return f"the job ended without an end marker (state in Slurm: {e.view.state})"


def _ran_out_of_memory(e: Evidence) -> bool:
    """Where Slurm polls the memory it may show FAILED or CANCELLED; the log has the cause.

    A step whose function raised an error of its own failed, whatever else is in its log.
    """
    if not e.memory_complaint or (_live(e) is not None):
        return False
    if e.outcome is Outcome.FAILED:
        message = e.end.error.message if e.end is not None and e.end.error is not None else ""
        return (e.end is not None and e.end.exit_code == _SIGKILL_EXIT) or "SIGKILL" in message
    return e.view is None or SLURM_STATES.get(e.view.state) in (State.FAILED, State.CANCELLED)


def _last_state(e: Evidence) -> State:
    state = e.last or State.PENDING
    return State.RUNNING if state is State.PENDING and e.started else state


# Types of errors whose texts are planit's own, and say all.
_OWN_TEXTS = (
    "Blocked", "CommandFailedError", "EndedEarly", JOB_ENDED, "Killed", "Terminated", TIME_LIMIT,
    "Unwritten",
)  # fmt: skip


def _error_line(end: EndMarker | None) -> str:
    error = None if end is None else end.error
    if error is None:
        return "no reason given"
    lines = error.message.strip().splitlines() or [""]
    if error.type in _OWN_TEXTS:
        return printable(lines[0])
    return printable(f"{error.type}: {lines[0]}".rstrip(": "))
