"""The part of a plan that somebody asks for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from planit.errors import PlanError
from planit.graph import Part, part_of
from planit.nodes import Node
from planit.record import index, run_bases


@dataclass(frozen=True)
class PartAsked:
    """The part of a plan that somebody asks for; all of it if nothing is said.

    Attributes:
        start_from, until, only: see `part_of`.
        after: the run in which the rest was done: its id, a part of it, or its folder.
    """

    start_from: Collection[str] = ()
    until: Collection[str] = ()
    only: Collection[str] = ()
    after: str | Path | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is said."""
        return not (self.start_from or self.until or self.only) and self.after is None

    def part(self, root: Node, base: Path) -> Part | None:
        """What is run of a plan; None means all.

        Args:
            root: the plan.
            base: folder of the runs; those that runs from here went to count, too.

        Raises:
            PlanError: the plan has no such step, or nothing is left to run.
            RunError: there is no such run, or a step that is needed is not done in it.
            SchedulerError: its scheduler does not answer, so nobody knows.
        """
        if not (self.start_from or self.until or self.only):
            if self.after is not None:
                raise PlanError(
                    "after says where the rest of a plan was done, and nothing is left out",
                    hint="add --from STEP, --until STEP or --only STEP",
                )
            return None
        part = part_of(root, start_from=self.start_from, until=self.until, only=self.only)
        if self.after is None:
            return part
        from planit.submit.earlier import after_run

        bases = run_bases.each_once([base, *run_bases.of_folder(Path.cwd())])
        return after_run(root, part, index.find(bases, str(self.after)))
