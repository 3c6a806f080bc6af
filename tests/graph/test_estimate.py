"""Best-case durations: the critical path."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings

from planit import Chain, Node, Parallel
from planit.graph import durations
from planit.nodes import tasks
from tests.graph.reference import ancestors, trees
from tests.helpers import CPU, GPU, step

HOUR = timedelta(hours=1)


def total(root: Node) -> timedelta:
    return durations(root)[id(root)]


def test_a_chain_adds_and_a_parallel_takes_its_slowest_child() -> None:
    assert total(Chain(step("a"), step("b", GPU))) == 3 * HOUR
    assert total(Parallel(step("a"), step("b", GPU))) == 2 * HOUR


def test_empty_groups_take_no_time() -> None:
    assert total(Chain()) == total(Parallel()) == timedelta()
    assert total(Chain(step("a", CPU), Parallel())) == HOUR


@settings(deadline=None)
@given(root=trees)
def test_the_estimate_is_the_longest_path_through_the_order(root: Node) -> None:
    before, wall = ancestors(root), {t.name: t.resources.time for t, _ in tasks(root)}
    finish: dict[str, timedelta] = {}
    for name in sorted(before, key=lambda name: len(before[name])):
        finish[name] = max((finish[n] for n in before[name]), default=timedelta()) + wall[name]
    assert total(root) == max(finish.values(), default=timedelta())
