"""A submission that ends when the process that made it does, and is followed by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from planit.record.jobs import JobView


@dataclass(frozen=True)
class StepEvent:
    """A change of a step's state.

    Attributes:
        key: its job id.
        state: in Slurm's words.
        elapsed_s: how long it ran, once it has ended.
        blocked: whether it can never run because of a step before it.
    """

    key: str
    name: str
    state: str
    elapsed_s: float | None = None
    blocked: bool = False

    @property
    def is_final(self) -> bool:
        return not JobView(self.key, self.state).is_live


class AttachedRun(Protocol):
    """A submission that ends when this process does, to be followed by it.

    Attributes:
        number: of the submission.
        steps: the last change of each step so far, by key.
    """

    @property
    def number(self) -> int: ...
    @property
    def steps(self) -> Mapping[str, StepEvent]: ...

    def is_running(self) -> bool:
        """Whether a process of it is left."""

    def new_events(self) -> list[StepEvent]:
        """The changes since the last call, in order."""

    def finish(self) -> None:
        """Start no more steps; those that run go on to their end."""

    def stop(self) -> None:
        """Start no more steps, and end those that run."""
