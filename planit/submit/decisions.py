"""What a resume does with each step: it keeps what is done, and reruns what is not."""

from __future__ import annotations

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from planit.errors import RunError
from planit.record.history import History
from planit.status.states import RunStatus, State, StepStatus
from planit.submit.cancellation import refuse_unknown


class ResumeAction(enum.StrEnum):
    """What a resume does with a step."""

    KEEP = "keep"
    RERUN = "rerun"
    WAIT = "wait"


@dataclass(frozen=True)
class ResumeDecision:
    """What a resume does with a step, and why."""

    step: str
    action: ResumeAction
    reason: str


def decide(
    history: History, status: RunStatus, start_from: Collection[str], only: Collection[str]
) -> list[ResumeDecision]:
    """What a resume does with each step, in the order of the plan.

    Args:
        history: of the run.
        status: the states now.
        start_from: rerun these steps and everything behind them, done or not.
        only: rerun just these steps.

    Raises:
        RunError: an unknown step, one to rerun that runs, or one whose parents or children would
            be passed by.
    """
    refuse_unknown(history, [*start_from, *only])
    asked = set(only) or history.behind(start_from)
    if asked:
        forced = dict.fromkeys(asked, "asked for")
    else:
        ended = [s for s in status.steps if s.state.is_final or s.never]
        broken = [s.name for s in ended if s.state != State.DONE]
        forced = dict.fromkeys(history.behind(broken), "behind a step that is rerun")
    decisions = []
    for step in status.steps:
        if step.name in forced:
            refuse_running(step)
            reason = _why(step) if step.state is not State.DONE else forced[step.name]
            decisions.append(ResumeDecision(step.name, ResumeAction.RERUN, reason))
        elif step.state is State.DONE:
            decisions.append(ResumeDecision(step.name, ResumeAction.KEEP, "done"))
        elif step.state.is_final:
            decisions.append(ResumeDecision(step.name, ResumeAction.KEEP, "not asked for"))
        else:
            decisions.append(ResumeDecision(step.name, ResumeAction.WAIT, step.state.lower()))
    refuse_failed_parents(history, status, forced)
    refuse_waiting_children(history, status, forced)
    return decisions


def rerun_of(decisions: Sequence[ResumeDecision]) -> list[str]:
    """The names of the steps that are rerun."""
    return [decision.step for decision in decisions if decision.action is ResumeAction.RERUN]


def refuse_running(step: StepStatus) -> None:
    """A step that runs at this moment is not started a second time."""
    if step.state is State.RUNNING:
        raise RunError(
            f"step {step.name!r} is running (job {step.job})",
            hint=f"planit cancel {step.name}, or wait until it ends",
        )


def refuse_failed_parents(history: History, status: RunStatus, rerun: Collection[str]) -> None:
    """A step never starts where a step before it did not succeed, and is not rerun either."""
    broken = {s.name: s.state for s in status.steps if s.state.is_final and s.state != State.DONE}
    for name in rerun:
        for parent in history.parents.get(name, ()):
            if parent in broken and parent not in rerun:
                raise RunError(
                    f"step {name!r} waits for {parent!r}, which is {broken[parent]}",
                    hint=f"rerun that too, for instance with --from {parent}",
                )


def refuse_waiting_children(history: History, status: RunStatus, rerun: Collection[str]) -> None:
    """What waits in the queue behind a step would not wait for a second run of it."""
    for step in status.steps:
        if step.state.is_final or step.name in rerun:
            continue
        for parent in history.parents.get(step.name, ()):
            if parent in rerun:
                raise RunError(
                    f"step {step.name!r} behind {parent!r} is {step.state} (job {step.job})",
                    hint=f"rerun both with --from {parent}, or cancel {step.name} first",
                )


def _why(step: StepStatus) -> str:
    if step.state is State.BLOCKED:
        return step.cause or "blocked"
    return f"{step.state.lower()}: {step.cause}" if step.cause else step.state.lower()
