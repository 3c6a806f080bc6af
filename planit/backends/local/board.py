"""Which steps wait, are ready, have ended: the rules of dependencies, without any process.

The same rules as Slurm's: ``afterok`` on a whole stage, ``aftercorr`` task by task, ``afterany``;
and what can never run is ended at once. Edges stay edges between stages, so that a join behind
10,000 steps costs one counter, not 10,000 links.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from planit.backends.local.machine import Request


@dataclass
class LocalTask:
    """One step.

    Attributes:
        key: its job id, ``1.3`` or ``1.3_7``.
        wait: how many of its edges are not met yet.
    """

    key: str
    name: str
    slug: str
    stage: LocalStage
    index: int
    wait: int = 0
    ended: bool = False
    restarts: int = 0


@dataclass
class LocalStage:
    """Steps with the same parameters and edges.

    Attributes:
        number: as in the submission.
        edges: (kind, stage that it waits for).
        behind: (kind, stage that waits for it).
        length_s: wall time of the longest way from its start to the end of the plan.
    """

    number: int
    request: Request
    wall_s: float
    warn_s: float
    script: str | None
    most: int | None
    is_array: bool = False
    tasks: list[LocalTask] = field(default_factory=list)
    edges: list[tuple[str, LocalStage]] = field(default_factory=list)
    behind: list[tuple[str, LocalStage]] = field(default_factory=list)
    length_s: float = 0.0
    running: int = 0
    succeeded: int = 0
    over: int = 0
    broken: bool = False


class Board:
    """All steps of a submission.

    Args:
        stages: in the order of the submission: an edge points to an earlier one.
        on_blocked: told each step that can never run any more.
    """

    def __init__(self, stages: list[LocalStage], on_blocked: Callable[[LocalTask], None]) -> None:
        self._stages = stages
        self._on_blocked = on_blocked
        self._ready: dict[tuple[Request, int], list[tuple[float, int, LocalTask]]] = {}
        self._order = 0
        self.open = sum(len(stage.tasks) for stage in stages)
        for stage in reversed(stages):
            ahead = max((later.length_s for _, later in stage.behind), default=0.0)
            stage.length_s = stage.wall_s + ahead
        for stage in stages:
            for task in stage.tasks:
                task.wait = len(stage.edges)
                if not task.wait:
                    self._push(task)

    def tasks(self) -> Iterator[LocalTask]:
        for stage in self._stages:
            yield from stage.tasks

    def next(self, fits: Callable[[Request], bool]) -> LocalTask | None:
        """The ready step with the longest way to go that may start; it then counts as running."""
        best: list[tuple[float, int, LocalTask]] | None = None
        for (request, _), heap in self._ready.items():
            while heap and heap[0][2].ended:  # cancelled while it was ready
                heapq.heappop(heap)
            if not heap or (best is not None and heap[0][:2] >= best[0][:2]):
                continue
            stage = heap[0][2].stage
            if (stage.most is None or stage.running < stage.most) and fits(request):
                best = heap
        if best is None:
            return None
        task = heapq.heappop(best)[2]
        task.stage.running += 1
        return task

    def again(self, task: LocalTask) -> None:
        """A running step was requeued."""
        task.stage.running -= 1
        task.restarts += 1
        self._push(task)

    def end(self, task: LocalTask, *, succeeded: bool, ran: bool = True) -> None:
        """A step has ended; whatever can never run because of it ends too."""
        ending = [(task, succeeded, ran)]
        while ending:
            one, well, was_running = ending.pop()
            if one.ended:
                continue
            one.ended = True
            self.open -= 1
            one.stage.running -= was_running
            if one is not task:
                self._on_blocked(one)
            ending += [(later, False, False) for later in self._pass_on(one, well=well)]

    def _pass_on(self, task: LocalTask, *, well: bool) -> Iterable[LocalTask]:
        """Count an end down the edges; the steps that it blocks."""
        stage = task.stage
        stage.over += 1
        stage.succeeded += well
        newly_broken = not well and not stage.broken
        stage.broken |= not well
        blocked: list[LocalTask] = []
        for kind, later in stage.behind:
            if kind == "aftercorr":
                twin = later.tasks[task.index]
                if well:
                    self._met(twin)
                else:
                    blocked.append(twin)
            elif kind == "afterany":
                if stage.over == len(stage.tasks):
                    self._all_met(later)
            elif newly_broken:
                blocked += later.tasks
            elif stage.succeeded == len(stage.tasks):
                self._all_met(later)
        return blocked

    def _all_met(self, stage: LocalStage) -> None:
        for task in stage.tasks:
            self._met(task)

    def _met(self, task: LocalTask) -> None:
        task.wait -= 1
        if not task.wait and not task.ended:
            self._push(task)

    def _push(self, task: LocalTask) -> None:
        stage = task.stage
        group = (stage.request, stage.number if stage.most is not None else -1)
        heap = self._ready.setdefault(group, [])
        self._order += 1
        heapq.heappush(heap, (-stage.length_s, self._order, task))
