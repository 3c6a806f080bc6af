"""What may start and when, held against the tree; and the rules one by one."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planit import Node, Parallel
from planit.graph import Edge, EdgeKind, Graph, Tracker, lower
from planit.nodes import Task, tasks
from tests.graph.reference import ancestors, limited_trees, trees
from tests.helpers import CPU

SIZES = (1, 2, 3, 1001)
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)
choices = st.lists(st.integers(0, 999), min_size=1, max_size=40)
rooms = st.integers(1, 4)


class Played:
    """A plan that runs with a drawn sequence of events, and is watched on the way.

    Ten steps may be requeued and a tenth of the events are cancellations. Steps with the
    parameters `CPU` need one of `room` places, all others need another one.

    Args:
        root: the tree, which says what must have succeeded before a step.
        graph: its stages.
        drawn: what happens next, again and again.
        room: how many steps of each kind run at once.
    """

    def __init__(self, root: Node, graph: Graph, drawn: Sequence[int], room: int) -> None:
        self.before = ancestors(root)
        self.graph = graph
        self.drawn = itertools.cycle(drawn)
        self.room = room
        self.requeues = 10
        order = random.Random(drawn[0]).sample(sorted(self.before), len(self.before))
        self.rank = {name: place for place, name in enumerate(order)}
        self.tracker: Tracker[Task] = Tracker(
            graph.stages, rank=lambda task: self.rank[task.name], needs=is_small
        )
        self.tasks = {task.name: task for task, _ in tasks(root)}
        self.waiting = set(self.before)
        self.running: set[str] = set()
        self.succeeded: set[str] = set()
        self.failed: set[str] = set()
        self.started: set[str] = set()
        self.cancelled: set[str] = set()

    def fits(self, task: Task) -> bool:
        alike = [name for name in self.running if is_small(self.tasks[name]) == is_small(task)]
        return len(alike) < self.room

    def may_start(self) -> set[str]:
        """The waiting steps whose parents have all succeeded, and which fit."""
        return {
            name
            for name in self.waiting
            if self.before[name] <= self.succeeded and self.fits(self.tasks[name])
        }

    def play(self, *, has_limits: bool, cancels: bool = True) -> None:
        while self.tracker.open:
            self.start_all(has_limits=has_limits)
            self.check_limits()
            assert self.running, f"stranded: {self.waiting}"
            self.happen(next(self.drawn), cancels=cancels)
            open_now = self.waiting | self.running
            assert self.tracker.open == len(open_now)
            assert {n for n in self.tasks if self.tracker.is_waiting(self.tasks[n])} == self.waiting
        assert self.tracker.next() is None
        reached = {name for name in self.before if not self.before[name] & self.failed}
        assert reached - self.cancelled <= self.started

    def start_all(self, *, has_limits: bool) -> None:
        """Start what may start; without limits it is what the tree says, in the order of rank."""
        while (task := self.tracker.next(self.fits)) is not None:
            name, expected = task.name, self.may_start()
            assert name in expected
            if not has_limits:
                assert self.rank[name] == min(self.rank[one] for one in expected)
            self.waiting.remove(name)
            self.running.add(name)
            self.started.add(name)
        if not has_limits:
            assert not self.may_start()

    def check_limits(self) -> None:
        for stage in self.graph.stages:
            if stage.max_concurrent is not None:
                names = {task.name for task in stage.tasks}
                assert len(names & self.running) <= stage.max_concurrent

    def happen(self, number: int, *, cancels: bool) -> None:
        """One step succeeds, fails, is requeued or, if it has not started, is cancelled."""
        running, waiting = sorted(self.running), sorted(self.waiting)
        what, which = number % 10, number // 10
        if what == 0 and waiting and cancels:
            name = waiting[which % len(waiting)]
            self.cancelled.add(name)
            self.end(name, succeeded=False)
            return
        name = running[which % len(running)]
        if what == 1 and self.requeues:
            self.requeues -= 1
            self.tracker.requeue(self.tasks[name])
            self.running.remove(name)
            self.waiting.add(name)
        else:
            self.end(name, succeeded=what != 2)

    def end(self, name: str, *, succeeded: bool) -> None:
        """End a step: what it blocks ends at once, and nothing else does."""
        blocked = [task.name for task in self.tracker.end(self.tasks[name], succeeded=succeeded)]
        (self.succeeded if succeeded else self.failed).add(name)
        self.waiting.discard(name)
        self.running.discard(name)
        assert len(blocked) == len(set(blocked))
        assert set(blocked) == {one for one in self.waiting if self.before[one] & self.failed}
        self.failed.update(blocked)
        self.waiting.difference_update(blocked)


def is_small(task: Task) -> bool:
    return task.slurm_args is CPU


def lowered(root: Node, size: int) -> Graph:
    return lower(root, max_array_size=lambda _cluster: size)


@pytest.mark.parametrize("size", SIZES)
@FAST
@given(root=trees, drawn=choices, room=rooms)
def test_what_starts_and_what_is_blocked_is_what_the_tree_says(
    root: Node, size: int, drawn: list[int], room: int
) -> None:
    Played(root, lowered(root, size), drawn, room).play(has_limits=False)


@pytest.mark.parametrize("size", SIZES)
@FAST
@given(root=limited_trees, drawn=choices, room=rooms)
def test_limits_hold_and_strand_nothing(root: Node, size: int, drawn: list[int], room: int) -> None:
    Played(root, lowered(root, size), drawn, room).play(has_limits=True)


@FAST
@given(root=limited_trees, drawn=choices)
def test_without_arrays_never_more_branches_run_than_a_parallel_allows(
    root: Node, drawn: list[int]
) -> None:
    """Nothing is cancelled: that lets the next step of a lane start, as it does with Slurm."""
    limited = [node for node in nodes(root) if isinstance(node, Parallel) and node.max_concurrent]

    class Watched(Played):
        def check_limits(self) -> None:
            for parallel in limited:
                branches = [{task.name for task, _ in tasks(child)} for child in parallel.children]
                busy = [branch for branch in branches if branch & self.running]
                assert len(busy) <= (parallel.max_concurrent or 0)

    Watched(root, lower(root, stack=False), drawn, 1000).play(has_limits=True, cancels=False)


def nodes(root: Node) -> Iterator[Node]:
    yield root
    for child in root.children:
        yield from nodes(child)


@dataclass(frozen=True)
class Stage:
    """A stage whose tasks are numbers."""

    tasks: Sequence[int]
    edges: Sequence[Edge] = ()
    max_concurrent: int | None = None


def after(parent: int, kind: EdgeKind = EdgeKind.AFTEROK) -> tuple[Edge, ...]:
    return (Edge(parent, kind),)


def drained(tracker: Tracker[int]) -> list[int]:
    """Start all that may start."""
    return list(iter(tracker.next, None))


def test_the_default_order_is_that_of_the_stages() -> None:
    stages = [Stage([0]), Stage([1]), Stage([2], after(0)), Stage([3])]
    tracker = Tracker(stages)
    assert tracker.next() == 0
    tracker.end(0, succeeded=True)
    assert drained(tracker) == [1, 2, 3]


def test_tasks_of_one_rank_start_as_they_became_ready() -> None:
    stages = [Stage([0]), Stage([1]), Stage([2], after(0)), Stage([3], after(1))]
    tracker = Tracker(stages, rank=lambda _task: 0)
    assert drained(tracker) == [0, 1]
    tracker.end(1, succeeded=True)
    tracker.end(0, succeeded=True)
    assert drained(tracker) == [3, 2]


def test_what_does_not_fit_holds_nothing_else_up() -> None:
    tracker = Tracker([Stage([0, 2, 1, 3])], needs=lambda task: task % 2)
    assert [tracker.next(lambda task: task % 2 == 1) for _ in range(3)] == [1, 3, None]
    assert drained(tracker) == [0, 2]


def test_aftercorr_waits_for_one_task_and_is_blocked_by_one() -> None:
    tracker = Tracker([Stage([0, 1]), Stage([10, 11], after(0, EdgeKind.AFTERCORR))])
    assert drained(tracker) == [0, 1]
    assert tracker.end(1, succeeded=True) == []
    assert drained(tracker) == [11]
    assert tracker.end(0, succeeded=False) == [10]


def test_afterok_waits_for_all_and_is_blocked_by_the_first_failure() -> None:
    tracker = Tracker([Stage([0, 1, 2]), Stage([10, 11], after(0)), Stage([20], after(1))])
    assert drained(tracker) == [0, 1, 2]
    assert tracker.end(1, succeeded=True) == []
    assert tracker.end(0, succeeded=False) == [10, 11, 20]
    assert tracker.open == 1
    assert tracker.end(2, succeeded=False) == []
    assert (tracker.open, tracker.next()) == (0, None)


def test_afterany_waits_for_the_end_of_all_well_or_not() -> None:
    edges = after(0, EdgeKind.AFTERANY)
    tracker = Tracker([Stage([0]), Stage([1, 2], after(0)), Stage([3], after(1, edges[0].kind))])
    assert drained(tracker) == [0]
    assert tracker.end(0, succeeded=False) == [1, 2]
    assert drained(tracker) == [3]


def test_all_edges_must_be_met_whatever_their_kinds() -> None:
    both = (*after(0, EdgeKind.AFTERCORR), *after(1))
    tracker = Tracker([Stage([0, 1]), Stage([5]), Stage([10, 11], both)])
    drained(tracker)
    tracker.end(0, succeeded=True)
    assert drained(tracker) == []
    tracker.end(5, succeeded=True)
    assert drained(tracker) == [10]
    tracker.end(1, succeeded=True)
    assert drained(tracker) == [11]


def test_a_limit_counts_what_runs_and_a_requeue_makes_room() -> None:
    tracker = Tracker([Stage(range(4), max_concurrent=2), Stage([9])])
    assert drained(tracker) == [0, 1, 9]
    tracker.requeue(0)
    assert drained(tracker) == [2]
    tracker.end(1, succeeded=False)
    tracker.end(2, succeeded=True)
    assert drained(tracker) == [3, 0]


def test_a_cancelled_task_never_starts_and_holds_no_place() -> None:
    tracker = Tracker([Stage([0, 1, 2], max_concurrent=1), Stage([10], after(0))])
    assert tracker.is_waiting(0)
    assert tracker.end(0, succeeded=False) == [10]
    assert tracker.next() == 1
    assert not tracker.is_waiting(1)
    assert tracker.next() is None
    tracker.end(2, succeeded=False)
    assert tracker.next() is None
    tracker.end(1, succeeded=True)
    assert (tracker.open, tracker.next()) == (0, None)


def test_a_task_ends_once() -> None:
    tracker = Tracker([Stage([0]), Stage([1], after(0))])
    tracker.end(0, succeeded=False)
    for task in (0, 1):
        with pytest.raises(ValueError, match=f"{task} has ended before"):
            tracker.end(task, succeeded=True)


def test_joins_between_large_stages_cost_counters_and_not_links() -> None:
    """As links between tasks this would be 5 times 400 million of them."""
    began, count = time.process_time(), 20_000
    stages = [Stage(range(count))]
    stages += [Stage(range(i * count, (i + 1) * count), after(i - 1)) for i in range(1, 6)]
    tracker = Tracker(stages)
    *good, bad, _ = stages
    for stage in (*good, bad):
        assert drained(tracker) == list(stage.tasks)
        for task in stage.tasks:
            tracker.end(task, succeeded=stage is not bad)
    assert tracker.open == 0
    assert time.process_time() < began + 20  # it takes less than one


def test_a_long_chain_is_blocked_at_once() -> None:
    count = 50_000
    tracker = Tracker([Stage([i], after(i - 1) if i else ()) for i in range(count)])
    assert len(tracker.end(0, succeeded=False)) == count - 1
