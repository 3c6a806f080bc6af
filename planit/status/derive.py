"""Derives the state of a step from its markers and from what the scheduler says of its job."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from planit.record.history import History
from planit.record.jobs import JobView
from planit.record.markers import Attempt, Tries
from planit.status.states import State, StepStatus, printable

# Slurm's job states (squeue manual, "JOB STATE CODES") as states of a step.
SLURM_STATES = {
    "COMPLETED": State.DONE,
    "PENDING": State.PENDING,
    "REQUEUED": State.PENDING,
    "REQUEUE_FED": State.PENDING,
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

# What a step may look like that waits for one that failed: blocked, whatever Slurm does about it.
_NEVER_STARTED = frozenset(
    {State.CANCELLED, State.LOST, State.BLOCKED, State.PENDING, State.HELD, State.NOT_SUBMITTED}
)
_SIGKILL_EXIT = 137
_MOST_CAUSES = 3  # named for one blocked step


def from_markers(status: StepStatus, tries: Tries, last: Attempt) -> StepStatus | None:
    """A state that needs no scheduler, or None."""
    outcome, end = tries.outcome(last), tries.end(last)
    if outcome not in ("succeeded", "failed"):
        return None
    failed = outcome == "failed"
    error = end.get("error") if failed else None
    return replace(
        status,
        state=State.FAILED if failed else State.DONE,
        job=status.job or end.get("job_id"),
        elapsed_s=end.get("elapsed_s"),
        node=end.get("node") or end.get("host"),
        cause=_error_line(error) if failed else None,
        error=error,
        attempt=tries.count,
    )


def was_killed(tries: Tries, last: Attempt) -> bool:
    """Whether an attempt ended by SIGKILL in a child process, as the kernel does without memory."""
    end = tries.end(last)
    words = str((end.get("error") or {}).get("message", ""))
    return end.get("exit_code") == _SIGKILL_EXIT or "SIGKILL" in words


def out_of_memory(status: StepStatus) -> StepStatus:
    """The state of a job whose log has Slurm's complaint, which its own state does not tell."""
    return replace(status, state=State.OUT_OF_MEMORY, cause="the memory was used up")


def gone(status: StepStatus, tries: Tries, last: Attempt | None) -> StepStatus:
    """The state of a job that neither squeue nor sacct knows."""
    if last is not None and tries.outcome(last) == "terminated":
        return replace(status, state=State.CANCELLED, cause="terminated by SIGTERM")
    cause = "the scheduler does not know the job any more, and it left no end marker"
    return replace(status, state=State.LOST, cause=cause)


def from_view(status: StepStatus, view: JobView, tries: Tries, last: Attempt | None) -> StepStatus:
    """A state by the scheduler's word."""
    state = SLURM_STATES.get(view.state, State.RUNNING)
    queued, cause = not state.is_final, None
    if state is State.PENDING and view.reason and "Held" in view.reason:
        state, cause = State.HELD, view.reason
    if state is State.PENDING and view.reason == "DependencyNeverSatisfied":
        state, cause = State.BLOCKED, "a step before it did not succeed"
    if state.is_failure:
        cause = _failure_cause(state, view, last)
    return replace(
        status,
        state=state,
        elapsed_s=view.elapsed_s if state is not State.PENDING else None,
        node=view.node,
        cause=cause,
        queued=queued,
        attempt=max(tries.count, 1 if state is State.RUNNING else 0),
    )


def _failure_cause(state: State, view: JobView, last: Attempt | None) -> str:
    if view.cause is not None:
        return printable(view.cause)
    if state is State.TIMEOUT:
        return "the wall time was used up"
    if state is State.OUT_OF_MEMORY:
        return "the memory was used up"
    if state is State.CANCELLED:
        return "cancelled while it ran" if last is not None else "cancelled before it ran"
    if last is None:
        return "the job ended before the step began: see its log (setup lines, worker)"
    return f"the job ended without a word from the step (Slurm says {view.state})"


def _error_line(error: Any) -> str:
    if not isinstance(error, dict):
        return "no reason given"
    lines = str(error.get("message", "")).strip().splitlines() or [""]
    return printable(f"{error.get('type', 'Error')}: {lines[0]}".rstrip(": "))


def with_causes(
    steps: Mapping[str, StepStatus], past: History, started: Collection[str]
) -> dict[str, StepStatus]:
    """Tell what is blocked by a failure from what failed itself, and name the first causes.

    `started` are the steps whose newest job began to run.
    """
    result: dict[str, StepStatus] = {}
    roots: dict[str, str] = {}
    for name, own in steps.items():  # a plan's order has parents before their children
        step = own
        blockers = dict.fromkeys(roots[p] for p in past.parents.get(name, ()) if p in roots)
        waits = name not in started and step.state in _NEVER_STARTED
        if blockers and waits and not past.was_cancelled(name):
            cause = f"blocked by {_listed(list(blockers))}"
            step = replace(step, state=State.BLOCKED, cause=cause, elapsed_s=None)
            roots[name] = next(iter(blockers))
        elif step.state.is_failure:
            roots[name] = f"{name}: {step.state}" + (f", {step.cause}" if step.cause else "")
        result[name] = step
    return result


def _listed(causes: list[str]) -> str:
    more = len(causes) - _MOST_CAUSES
    return "; ".join(causes[:_MOST_CAUSES]) + (f" and {more} more" if more > 0 else "")
