"""Limits on how many branches run at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit import Chain, Node, Parallel, Step, Sweep
from planit.graph import EdgeKind, Graph, Tracker, lower
from planit.nodes import Task
from tests.graph.reference import lanes_of, parents_of
from tests.helpers import CPU, GPU, nothing, step


def kinds(graph: Graph) -> list[list[tuple[str, int]]]:
    return [[(edge.kind.value, edge.parent) for edge in stage.edges] for stage in graph.stages]


def test_equal_branches_are_limited_by_their_array() -> None:
    sweep = Sweep("t", nothing, CPU, over={"x": range(9)}, max_concurrent=4)
    graph = lower(Chain(step("a"), sweep, step("b")))
    assert [stage.max_concurrent for stage in graph.stages] == [None, 4, None]


def test_unequal_branches_go_in_lanes_that_a_failure_does_not_block() -> None:
    branches = (step("a"), step("b", GPU), Chain(step("c"), step("d")), step("e", GPU))
    graph = lower(Parallel(*branches, max_concurrent=2))
    assert kinds(graph) == [[], [], [("afterany", 0)], [("afterok", 2)], [("afterany", 1)]]
    assert parents_of(graph)["c"] == ()
    assert lanes_of(graph)["c"] == ("a",)


def test_a_limit_that_no_plan_reaches_changes_nothing() -> None:
    branches = (step("a"), step("b", GPU))
    assert kinds(lower(Parallel(*branches, max_concurrent=2))) == [[], []]


def test_blocks_beyond_the_largest_array_wait_for_each_other() -> None:
    branches = [Chain(step(f"a{i}"), step(f"b{i}", GPU)) for i in range(5)]
    graph = lower(Parallel(*branches, max_concurrent=2), max_array_size=lambda _: 3)
    assert [len(stage.tasks) for stage in graph.stages] == [2, 2, 2, 2, 1, 1]
    assert graph.stages[2].edges[0].kind is EdgeKind.AFTERANY
    assert {edge.parent for edge in graph.stages[2].edges} == {0, 1}


def test_what_follows_waits_for_success_not_just_for_the_end() -> None:
    branches = (step("a"), step("b", GPU), step("c"))
    graph = lower(Chain(Parallel(*branches, max_concurrent=1), step("end")))
    assert set(parents_of(graph)["end"]) == {"a", "b", "c"}


@given(st.lists(st.sampled_from(["cpu", "gpu", "both", "empty"]), max_size=8), st.integers(1, 4))
def test_never_more_branches_at_once_than_the_limit(forms: list[str], limit: int) -> None:
    branches = [_branch(form, i) for i, form in enumerate(forms)]
    sets = [{f"{n}{i}" for n in "ab"} for i in range(len(forms))]
    for stack in (False, True):
        graph = lower(Parallel(*branches, max_concurrent=limit), stack=stack)
        assert _under_way(graph, sets) <= limit
    assert _most_at_once(graph, [{f"{n}{i}" for n in "ab"} for i in range(len(forms))]) <= limit


def _under_way(graph: Graph, branches: list[set[str]]) -> int:
    """The most branches that had started and not ended, with the first to start ending first."""
    tracker: Tracker[Task] = Tracker(graph.stages)
    known = {task.name for stage in graph.stages for task in stage.tasks}
    started: set[str] = set()
    ended: set[str] = set()
    running: list[Task] = []
    most = 0
    while tracker.open:
        running += iter(tracker.next, None)
        started |= {task.name for task in running}
        left = [branch & known for branch in branches]
        most = max(most, sum(1 for b in left if b & started and not b <= ended))
        ended.add(running[0].name)
        tracker.end(running.pop(0), succeeded=True)
    return most


def test_equal_branches_of_two_steps_are_limited_as_branches() -> None:
    branches = [Chain(step(f"a{i}"), step(f"b{i}", GPU)) for i in range(20)]
    graph = lower(Parallel(*branches, max_concurrent=8))
    assert [len(stage.tasks) for stage in graph.stages] == [8, 8, 8, 8, 4, 4]
    assert _under_way(graph, [{f"a{i}", f"b{i}"} for i in range(20)]) == 8


def _branch(form: str, number: int) -> Node:
    first, second = step(f"a{number}"), step(f"b{number}", GPU)
    return {"cpu": first, "gpu": second, "both": Chain(first, second), "empty": Chain()}[form]


def _most_at_once(graph: Graph, branches: list[set[str]]) -> int:
    """Start whatever may start, end one step at a time; the most branches that ran at once."""
    tracker: Tracker[Task] = Tracker(graph.stages)
    running: list[Task] = []
    most = 0
    while tracker.open:
        running += iter(tracker.next, None)
        names = {task.name for task in running}
        most = max(most, sum(1 for branch in branches if branch & names))
        tracker.end(running.pop(), succeeded=True)
    return most


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (2, 2), (9, 3)])
def test_an_array_takes_the_smaller_of_both_limits(limit: int | None, expected: int) -> None:
    raw = {"slurm_time": "5", "slurm_array_parallelism": 3}
    many = [Step(f"s{i}", nothing, raw) for i in range(10)]
    graph = lower(Parallel(*many, max_concurrent=limit))
    assert [stage.max_concurrent for stage in graph.stages] == [expected]
    assert lower(many[0]).stages[0].max_concurrent is None
