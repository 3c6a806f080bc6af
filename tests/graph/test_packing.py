"""Packed nodes as stages: one for all their steps, with their own edges in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from planit import Chain, Node, Packed, Parallel, PlanError, SlurmArgs
from planit.graph import Graph, Stage, lower
from tests.graph.reference import ancestors, closure, parents_of, trees
from tests.helpers import step

JOB = SlurmArgs(time="9:00:00", partition="batch", cpus_per_task=8)


def inside(stage: Stage) -> Graph:
    """What a packed stage runs, as if each part were a stage."""
    return Graph(
        tuple(
            Stage(number, tuple(stage.tasks[i] for i in part.tasks), part.resources, part.edges)
            for number, part in enumerate(stage.packed)
        )
    )


@given(trees)
@settings(deadline=None, max_examples=50)
def test_its_steps_wait_for_what_they_would_wait_for(root: Node) -> None:
    stages = lower(Packed(root, JOB)).stages
    found = closure(parents_of(inside(stages[0]))) if stages else {}
    assert found == ancestors(root)


def test_edges_in_and_out_are_those_of_one_step() -> None:
    root = Chain(
        step("a"), Packed(Parallel(step("b"), Chain(step("c"), step("d"))), JOB), step("e")
    )
    first, packed, last = lower(root).stages
    assert [task.name for task in packed.tasks] == ["b", "c", "d"]
    assert not packed.is_array
    assert packed.resources.options["cpus_per_task"] == 8
    assert [(edge.parent, edge.kind) for edge in packed.edges] == [(first.number, "afterok")]
    assert [(edge.parent, edge.kind) for edge in last.edges] == [(packed.number, "afterok")]


def test_branches_are_spread_by_their_work() -> None:
    long = SlurmArgs(time="4:00:00", partition="batch")
    short = SlurmArgs(time="1:00:00", partition="batch")
    branches = [step("a", long), step("b", short), step("c", short), step("d", short)]
    (stage,) = lower(Packed(Parallel(*branches), JOB, jobs=2)).stages
    jobs = {task.name: stage.array_index(i) for i, task in enumerate(stage.tasks)}
    assert stage.jobs == 2
    assert jobs == {"a": 0, "b": 1, "c": 1, "d": 1}


def test_more_jobs_than_branches_are_as_many_as_branches() -> None:
    (stage,) = lower(Packed(Parallel(step("a"), step("b")), JOB, jobs=5)).stages
    assert stage.jobs == 2


def test_more_jobs_than_an_array_has_are_refused() -> None:
    root = Packed(Parallel(step("a"), step("b")), JOB, jobs=50)
    with pytest.raises(PlanError, match="jobs=50: an array has at most 10 tasks"):
        lower(root, max_array_size=lambda _: 10)


def test_branches_that_hold_one_are_submitted_alone() -> None:
    root = Parallel(*(Chain(step(f"a{i}"), Packed(step(f"b{i}"), JOB)) for i in range(3)))
    assert [len(stage.tasks) for stage in lower(root).stages] == [1] * 6


def test_an_empty_one_passes_its_parents_on() -> None:
    assert len(lower(Chain(step("a"), Packed(Chain(), JOB), step("b"))).stages) == 2
