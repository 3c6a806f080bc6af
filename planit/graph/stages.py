"""Stages: what must be submitted. One stage is one sbatch call, a single job or a job array."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from planit.nodes import Resources, Task


class EdgeKind(enum.StrEnum):
    """How a stage waits for another (sbatch manual, "--dependency")."""

    AFTEROK = "afterok"
    AFTERCORR = "aftercorr"
    AFTERANY = "afterany"


def common_start(names: Iterable[str]) -> str:
    """What names begin with, such as ``train`` for ``train[lr=0.1]`` and ``train[lr=0.2]``."""
    listed = sorted(names)
    first, last = listed[0], listed[-1]
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), None)
    common = first[:same]
    if "[" in common and not common.endswith("]"):
        common = common[: common.rindex("[")]
    return common.rstrip("_-.=,")


@dataclass(frozen=True)
class Edge:
    """A stage waits for the stage with number `parent`."""

    parent: int
    kind: EdgeKind


@dataclass(frozen=True)
class Stage:
    """One sbatch call: a single job (one task) or a job array (task i has array index i).

    Attributes:
        number: its place in the order of submission.
        tasks: the steps.
        resources: their submission parameters.
        edges: what it waits for.
        max_concurrent: how many tasks of the array may run at once, or None.
    """

    number: int
    tasks: tuple[Task, ...]
    resources: Resources
    edges: tuple[Edge, ...]
    max_concurrent: int | None = None

    @property
    def is_array(self) -> bool:
        return len(self.tasks) > 1

    @property
    def is_root(self) -> bool:
        """Whether nothing has to finish before it, so that it must be held until all is in."""
        return not self.edges

    @property
    def name(self) -> str:
        """The job name: the step's, or what the names of an array's steps begin with."""
        first, last = self.tasks[0].name, self.tasks[-1].name
        if not self.is_array:
            return first
        return common_start((first, last)) or first


@dataclass(frozen=True)
class Graph:
    """All stages of a plan; an edge always points to a stage with a smaller number."""

    stages: tuple[Stage, ...]
