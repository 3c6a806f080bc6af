"""Tells what is blocked by a failure from what failed itself, and names the first causes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from planit.record.history import History
from planit.status.states import State, StepStatus

# What a step may look like that waits for one that failed: blocked, whatever Slurm does about it.
_NEVER_STARTED = frozenset(
    {State.CANCELLED, State.LOST, State.BLOCKED, State.PENDING, State.HELD, State.NOT_SUBMITTED}
)
_MAX_CAUSES = 3  # named for one blocked step


def with_causes(
    steps: Mapping[str, StepStatus], history: History, started: Collection[str]
) -> dict[str, StepStatus]:
    """The steps in the order of the plan, those behind a failure as BLOCKED.

    Args:
        steps: the states so far, parents before their children.
        history: who waits for whom.
        started: the steps whose newest job began to run.
    """
    result: dict[str, StepStatus] = {}
    roots: dict[str, str] = {}
    stuck: dict[str, StepStatus] = {}
    for name, own in steps.items():
        step = _perhaps_stuck(own, history, stuck)
        blockers = dict.fromkeys(roots[p] for p in history.parents.get(name, ()) if p in roots)
        waits = name not in started and step.state in _NEVER_STARTED
        if blockers and waits and not history.was_cancelled(name):
            cause = f"blocked by {_listed(list(blockers))}"
            step = replace(step, state=State.BLOCKED, cause=cause, elapsed_s=None, stale=False)
            roots[name] = next(iter(blockers))
        elif step.state.is_failure or step.state is State.BLOCKED:
            roots[name] = f"{name}: {step.state}"  # whose own line has the cause
        result[name] = step
    return result


def _perhaps_stuck(step: StepStatus, history: History, stuck: dict[str, StepStatus]) -> StepStatus:
    """The step, marked if it will not start by itself; adds it to `stuck` with the first such."""
    if step.state not in (State.PENDING, State.HELD):
        return step
    first = step if step.never or step.state is State.HELD else None
    if first is None:
        place = history.placements.get(step.name)
        before = (*history.parents.get(step.name, ()), *(place.lane if place else ()))
        first = next((stuck[name] for name in before if name in stuck), None)
    if first is None:
        return step
    stuck[step.name] = first
    behind = f"behind {first.name}, which will never start" if first.never else None
    return replace(step, stuck=True, cause=step.cause or behind)


def _listed(causes: list[str]) -> str:
    more = len(causes) - _MAX_CAUSES
    return "; ".join(causes[:_MAX_CAUSES]) + (f" and {more} more" if more > 0 else "")
