"""Stages: what must be submitted. One stage is one sbatch call, a single job or a job array."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

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
class PackedSteps:
    """Steps in a packed stage that have parameters and edges in common.

    Attributes:
        job: which task of the stage's job array runs them; 0 for a single job.
        tasks: their places among the tasks of the stage.
        resources: what each of them takes of the job.
        edges: what they wait for: earlier ones, by their place in the stage's `packed`.
        max_concurrent: how many of them may run at once, or None.
    """

    job: int
    tasks: tuple[int, ...]
    resources: Resources
    edges: tuple[Edge, ...]
    max_concurrent: int | None = None


@dataclass(frozen=True)
class Stage:
    """One sbatch call: a single job (one task) or a job array (task i has array index i).

    A packed stage is one call for any number of steps: each job of it runs many.

    Attributes:
        number: its place in the order of submission.
        tasks: the steps.
        resources: their submission parameters.
        edges: what it waits for.
        max_concurrent: how many tasks of the array may run at once, or None.
        packed: of a packed stage, what its jobs run; else empty.
    """

    number: int
    tasks: tuple[Task, ...]
    resources: Resources
    edges: tuple[Edge, ...]
    max_concurrent: int | None = None
    packed: tuple[PackedSteps, ...] = ()

    @property
    def jobs(self) -> int:
        """How many jobs it is: array tasks, or 1."""
        return 1 + max(part.job for part in self.packed) if self.packed else len(self.tasks)

    @property
    def is_array(self) -> bool:
        return self.jobs > 1

    def array_index(self, index: int) -> int | None:
        """The task of the job array that runs a step, by the step's place; None without an array.

        Raises:
            IndexError: there is no such step.
        """
        if not self.is_array:
            return None
        return self._jobs[index] if self.packed else index

    @cached_property
    def _jobs(self) -> list[int]:
        jobs = {index: part.job for part in self.packed for index in part.tasks}
        return [jobs[index] for index in range(len(self.tasks))]

    @property
    def is_root(self) -> bool:
        """Whether nothing has to finish before it, so that it must be held until all is in."""
        return not self.edges

    @property
    def name(self) -> str:
        """The job name: the step's, or what the names of an array's steps begin with."""
        first, last = self.tasks[0].name, self.tasks[-1].name
        if len(self.tasks) == 1:
            return first
        if self.packed:
            return common_start(task.name for task in self.tasks) or "packed"
        return common_start((first, last)) or first


@dataclass(frozen=True)
class Graph:
    """All stages of a plan; an edge always points to a stage with a smaller number."""

    stages: tuple[Stage, ...]
