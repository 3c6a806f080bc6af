"""A backend that runs whole plans in this process, and keeps no record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from planit.graph import Part
from planit.nodes import Node

if TYPE_CHECKING:
    from submitit import Job


class PreparedPlan(Protocol):
    """A plan that waits to be run in this process.

    Attributes:
        jobs: submitit's jobs by step, in the order of the plan.
    """

    @property
    def jobs(self) -> Mapping[str, Job[Any]]: ...

    def in_threads(self) -> None:
        """Run it, parallel branches in threads. Raises StepsFailedError."""

    def one_by_one(self, starts: Callable[[str], None]) -> None:
        """Run it in this thread; `starts` is called before each step. Raises StepsFailedError."""


@runtime_checkable
class InProcess(Protocol):
    """A backend without a record: it runs whole plans in this process.

    Attributes:
        name: as in ``backend.name``.
    """

    @property
    def name(self) -> str: ...

    def prepare(
        self, plan: str, root: Node, folder: Path, part: Part | None = None
    ) -> PreparedPlan:
        """Make the jobs of a plan; nothing runs yet.

        Args:
            plan: its name.
            root: its tree.
            folder: for submitit's own files.
            part: the steps that are run; by default all.

        Raises:
            PlanError: the plan is wrong.
        """
