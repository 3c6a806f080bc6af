"""The states of a run and of its steps: plain values."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class State(enum.StrEnum):
    """The state of a step."""

    DONE = "DONE"
    RUNNING = "RUNNING"
    PENDING = "PENDING"
    HELD = "HELD"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    CANCELLED = "CANCELLED"
    BLOCKED = "BLOCKED"
    LOST = "LOST"
    NOT_SUBMITTED = "NOT_SUBMITTED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the step by itself."""
        return self not in (State.RUNNING, State.PENDING, State.HELD)

    @property
    def is_failure(self) -> bool:
        """Whether the step itself went wrong, rather than a step before it."""
        return self in (
            State.FAILED,
            State.TIMEOUT,
            State.OUT_OF_MEMORY,
            State.NODE_FAIL,
            State.CANCELLED,
            State.LOST,
        )


@dataclass(frozen=True)
class StepStatus:
    """One step of a run.

    Attributes:
        state: by the table in `planit.status.decide`.
        job: ``12``, or ``12_3`` for an array task; None before it has an id.
        cluster: the cluster that the id belongs to, None for the default one.
        attempt: how often the step was started (requeues and resumes included).
        elapsed_s, requested_s: seconds run so far, and wall time asked for.
        node: where it runs or ran.
        cause: for what failed or will never run, why; for what waits, the scheduler's reason.
        stale: the scheduler did not answer, and this is the last state that was found.
        queued: the scheduler still has the job, even if it can never run.
        never: it waits, and the scheduler will never start it, for what it asks.
        stuck: it will not start by itself: it never starts, is held, or waits for such a step.
        ending: the job has ended but for the scheduler's own clean-up.
        error: type, message and traceback of the exception that ended it.
        retry: of a step that is tried again: "attempt 2 of 3, after out of memory, 64 GB".
    """

    name: str
    slug: str
    state: State
    job: str | None = None
    cluster: str | None = None
    attempt: int = 0
    elapsed_s: float | None = None
    requested_s: float = 0.0
    node: str | None = None
    cause: str | None = None
    stale: bool = False
    queued: bool = False
    never: bool = False
    stuck: bool = False
    ending: bool = False
    error: Mapping[str, Any] | None = None
    retry: str | None = None


@dataclass(frozen=True)
class RunStatus:
    """All steps of a run, in the order of the plan.

    Attributes:
        problems: what the run directory or the scheduler would not say, a line each.
        stale: whether a scheduler did not answer.
        incomplete: whether a submission stopped in the middle; its roots are held.
        submitting: who is submitting at this moment, if somebody is.
    """

    plan: str
    run_id: str
    steps: tuple[StepStatus, ...]
    incomplete: bool = False
    submitting: str | None = None
    stale: bool = False
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[State]:
        return Counter(step.state for step in self.steps)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not (self.stale or self.submitting) and all(s.state.is_final for s in self.steps)

    @property
    def is_stuck(self) -> bool:
        """Whether steps are left, and none of them runs or can start by itself."""
        sure = not (self.stale or self.submitting or self.incomplete or self.is_final)
        return sure and all(s.state.is_final or s.stuck for s in self.steps)

    @property
    def succeeded(self) -> bool:
        return all(step.state is State.DONE for step in self.steps)

    def step(self, name: str) -> StepStatus:
        return next(step for step in self.steps if step.name == name)


def printable(text: str) -> str:
    """`text` without anything that could move a terminal's cursor or break a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
