"""Which tasks may start: the rules of dependencies, without processes, clocks or machines.

The rules are Slurm's: ``afterok`` waits for a whole stage, ``aftercorr`` for one task of it,
``afterany`` for its end, and a stage has a limit on how many of its tasks run at once. A task that
can never start ends at once. Edges stay edges between stages, so that a join behind 10,000 tasks
costs one counter, not 10,000 links.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from planit.graph.stages import Edge, EdgeKind

T = TypeVar("T", bound=Hashable)
T_co = TypeVar("T_co", bound=Hashable, covariant=True)


class TrackedStage(Protocol[T_co]):
    """What the tracker reads of a stage, such as `planit.graph.Stage`."""

    @property
    def tasks(self) -> Sequence[T_co]: ...
    @property
    def edges(self) -> Sequence[Edge]: ...
    @property
    def max_concurrent(self) -> int | None: ...


class _Phase(enum.Enum):
    WAITING = enum.auto()
    RUNNING = enum.auto()
    ENDED = enum.auto()


@dataclass(eq=False, slots=True)
class _Progress(Generic[T]):
    """How far a stage is.

    Attributes:
        number: its place in the order of the stages.
        unmet: how many of its edges to whole stages are not met yet.
        later: the stages that wait for it.
        running, ended: how many of its tasks are.
        is_broken: whether one of them has ended without success.
    """

    number: int
    max_concurrent: int | None
    unmet: int
    slots: list[_Slot[T]] = field(default_factory=list)
    later: list[tuple[EdgeKind, _Progress[T]]] = field(default_factory=list)
    running: int = 0
    ended: int = 0
    is_broken: bool = False


@dataclass(eq=False, slots=True)
class _Slot(Generic[T]):
    """One task of a stage; `unmet` counts the edges to single tasks that are not met yet."""

    task: T
    stage: _Progress[T]
    index: int
    unmet: int
    phase: _Phase = _Phase.WAITING


class Tracker(Generic[T]):
    """The tasks of a plan, from waiting to their end.

    Args:
        stages: an edge points to an earlier one, by its place in this order.
        rank: of the tasks that may start, the one with the lowest rank does; by default the place
            of its stage, which is the order of the plan. Equal ones start as they became ready.
        needs: tasks with equal needs fit, or do not fit, alike; see `next`.

    Attributes:
        open: how many tasks have not ended.
    """

    def __init__(
        self,
        stages: Iterable[TrackedStage[T]],
        *,
        rank: Callable[[T], float] | None = None,
        needs: Callable[[T], Hashable] = lambda _task: None,
    ) -> None:
        self._rank = rank
        self._needs = needs
        self._slots: dict[T, _Slot[T]] = {}
        self._ready: dict[Hashable, list[tuple[float, int, _Slot[T]]]] = {}
        self._pushed = 0
        stages_so_far: list[_Progress[T]] = []
        for number, stage in enumerate(stages):
            aligned = sum(edge.kind is EdgeKind.AFTERCORR for edge in stage.edges)
            progress: _Progress[T] = _Progress(
                number, stage.max_concurrent, len(stage.edges) - aligned
            )
            stages_so_far.append(progress)
            for index, task in enumerate(stage.tasks):
                slot = self._slots[task] = _Slot(task, progress, index, aligned)
                progress.slots.append(slot)
            for edge in stage.edges:
                stages_so_far[edge.parent].later.append((edge.kind, progress))
        self.open = len(self._slots)
        for slot in self._slots.values():
            self._push_if_ready(slot)

    def is_waiting(self, task: T) -> bool:
        """Whether a task has neither started nor ended."""
        return self._slots[task].phase is _Phase.WAITING

    def next(self, fits: Callable[[T], bool] = lambda _task: True) -> T | None:
        """Start a task: the first one that may start and fits, or None if there is none."""
        best: list[tuple[float, int, _Slot[T]]] | None = None
        for heap in self._ready.values():
            while heap and heap[0][2].phase is _Phase.ENDED:  # cancelled while it was ready
                heapq.heappop(heap)
            if not heap or (best is not None and heap[0][:2] >= best[0][:2]):
                continue
            slot = heap[0][2]
            limit = slot.stage.max_concurrent
            if (limit is None or slot.stage.running < limit) and fits(slot.task):
                best = heap
        if best is None:
            return None
        slot = heapq.heappop(best)[2]
        slot.phase = _Phase.RUNNING
        slot.stage.running += 1
        return slot.task

    def requeue(self, task: T) -> None:
        """A running task is to start again."""
        slot = self._slots[task]
        slot.phase = _Phase.WAITING
        slot.stage.running -= 1
        self._push_if_ready(slot)

    def end(self, task: T, *, succeeded: bool) -> list[T]:
        """A task has ended, or is cancelled before it has started.

        Returns:
            the tasks that can never start because of that, which have now ended, too.

        Raises:
            ValueError: it had ended before.
        """
        first = self._slots[task]
        if first.phase is _Phase.ENDED:
            raise ValueError(f"{task} has ended before")
        blocked: list[T] = []
        ending = [first]
        for slot in ending:  # which grows meanwhile
            if slot.phase is _Phase.ENDED:
                continue
            if slot is not first:
                blocked.append(slot.task)
            ending += self._end(slot, succeeded=succeeded)  # a success blocks nothing
        return blocked

    def _end(self, slot: _Slot[T], *, succeeded: bool) -> list[_Slot[T]]:
        """Count an end for the stages that wait for it; the tasks that it blocks."""
        stage = slot.stage
        self.open -= 1
        stage.running -= slot.phase is _Phase.RUNNING
        slot.phase = _Phase.ENDED
        stage.ended += 1
        is_first_failure = not succeeded and not stage.is_broken
        stage.is_broken |= not succeeded
        blocked: list[_Slot[T]] = []
        for kind, later in stage.later:
            if kind is EdgeKind.AFTERCORR:
                aligned = later.slots[slot.index]
                if succeeded:
                    aligned.unmet -= 1
                    self._push_if_ready(aligned)
                else:
                    blocked.append(aligned)
            elif kind is EdgeKind.AFTEROK and is_first_failure:
                blocked += later.slots
            elif stage.ended == len(stage.slots):  # behind afterok and a failure all have ended
                later.unmet -= 1
                if not later.unmet:
                    for waiting in later.slots:
                        self._push_if_ready(waiting)
        return blocked

    def _push_if_ready(self, slot: _Slot[T]) -> None:
        stage = slot.stage
        if slot.unmet or stage.unmet or slot.phase is not _Phase.WAITING:
            return
        group = (self._needs(slot.task), None if stage.max_concurrent is None else stage.number)
        rank = stage.number if self._rank is None else self._rank(slot.task)
        self._pushed += 1
        heapq.heappush(self._ready.setdefault(group, []), (rank, self._pushed, slot))
