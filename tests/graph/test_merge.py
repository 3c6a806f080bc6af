"""Merging the branches of a sweep: shared front steps, joined tails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit import Chain, Node, Parallel, PlanError, Step, Sweep
from planit.graph import Branch, lower, merge
from planit.nodes import check_unique_names, tasks
from planit.views.plan_tree import tree_text
from tests.graph.reference import parents_of
from tests.helpers import CPU, nothing


def step(name: str, *args: Any) -> Step:
    return Step(name, nothing, CPU, *args)


def sweep(*roots: Node) -> list[Branch]:
    return [Branch({"x": str(i)}, root) for i, root in enumerate(roots)]


def names(root: Node) -> list[str]:
    return [task.name for task, _ in tasks(root)]


def test_equal_steps_at_the_front_run_once() -> None:
    roots = [Chain(step("get"), step("train", i), step("report")) for i in range(2)]
    assert names(merge(sweep(*roots))) == [
        "get",
        "train[x=0]",
        "report[x=0]",
        "train[x=1]",
        "report[x=1]",
    ]


def test_each_step_has_the_swept_values_of_its_branch_and_its_name_without_it() -> None:
    inner = Sweep("train", nothing, CPU, over={"fold": [1]})
    rows = [("0.1", "a"), ("0.1", "b"), ("1e-3", "c")]
    branches = [
        Branch({"lr": lr, "data": data}, Chain(step("get"), step("split", lr), inner, step("end")))
        for lr, data in rows
    ]
    found = {
        task.name: (task.base, task.values) for task, _ in tasks(merge(branches, join=["end"]))
    }
    alone = {"lr": 0.001, "data": "c"}
    assert found["get"] == ("get", {})
    assert found["end"] == ("end", {})
    assert found["split[lr=0.1]"] == ("split", {"lr": 0.1})
    assert found["train[fold=1][lr=0.1]"] == ("train", {"lr": 0.1, "fold": 1})
    assert found["train[fold=1][lr=1e-3,data=c]"] == ("train", {**alone, "fold": 1})


def test_a_limit_is_over_branches_behind_what_all_share() -> None:
    roots = [Chain(step("get"), step("train", i), step("test")) for i in range(5)]
    root = merge(sweep(*roots), max_concurrent=2)
    assert [getattr(node, "max_concurrent", None) for node in root.children] == [None, 2]
    some = [Chain(step("get", i % 2), step("train", i)) for i in range(4)]
    with pytest.raises(PlanError, match="counts branches") as caught:
        merge(sweep(*some), max_concurrent=2)
    assert caught.value.hint == "sweep.share=false runs every branch on its own"
    alone = merge(sweep(*some), share=False, max_concurrent=2)
    assert isinstance(alone, Parallel)
    assert alone.max_concurrent == 2


def test_nothing_is_shared_when_sharing_is_off() -> None:
    roots = [Chain(step("get"), step("train", i)) for i in range(2)]
    found = names(merge(sweep(*roots), share=False))
    assert found == ["get[x=0]", "train[x=0]", "get[x=1]", "train[x=1]"]


def test_a_step_is_shared_by_just_the_branches_that_agree_on_it() -> None:
    rows = [(lr, seed) for lr in (1, 2) for seed in (0, 1)]
    branches = [
        Branch(
            {"lr": str(lr), "seed": str(seed)},
            Chain(step("get"), step("split", seed), step("train", lr, seed)),
        )
        for lr, seed in rows
    ]
    root = merge(branches)
    assert names(root) == [
        "get",
        "split[seed=0]",
        "train[lr=1,seed=0]",
        "train[lr=2,seed=0]",
        "split[seed=1]",
        "train[lr=1,seed=1]",
        "train[lr=2,seed=1]",
    ]
    parents = parents_of(lower(root))
    assert parents["train[lr=2,seed=1]"] == ("split[seed=1]",)


def test_steps_to_join_run_once_after_every_branch() -> None:
    roots = [Chain(step("train", i), step("evaluate"), step("plot")) for i in range(3)]
    root = merge(sweep(*roots), join=["evaluate", "plot"])
    assert names(root) == ["train[x=0]", "train[x=1]", "train[x=2]", "evaluate", "plot"]
    assert set(parents_of(lower(root))["evaluate"]) == {f"train[x={i}]" for i in range(3)}


def test_a_joined_step_that_differs_is_refused() -> None:
    roots = [Chain(step("train", i), step("evaluate", i)) for i in range(2)]
    with pytest.raises(PlanError, match="'evaluate' differs between the branches x=0 and x=1"):
        merge(sweep(*roots), join=["evaluate"])


def test_a_joined_step_that_is_not_at_the_end_is_refused_with_a_suggestion() -> None:
    with pytest.raises(PlanError, match="did you mean evaluate") as caught:
        merge(sweep(Chain(step("train"), step("evaluate"))), join=["evalute"])
    assert "is not a step at the end" in str(caught.value)


def test_groups_that_differ_by_no_common_value_get_names_of_their_own() -> None:
    roots = [Chain(step("split", i % 2), step("train", i)) for i in range(4)]
    root = merge(sweep(*roots))
    check_unique_names(root)
    assert sum(name.startswith("split") for name in names(root)) == 2


def test_objects_that_only_look_equal_are_not_shared() -> None:
    class Thing:
        def __repr__(self) -> str:
            return "thing"

    roots = [Chain(step("get", Thing()), step("train", i)) for i in range(2)]
    assert sum(name.startswith("get") for name in names(merge(sweep(*roots)))) == 2


def test_a_large_sweep_is_shown_by_its_first_and_last_branch() -> None:
    roots = [Chain(step("get"), step("train", i)) for i in range(100)]
    text = tree_text("many", merge(sweep(*roots)))
    assert "100 branches over x" in text
    assert "… 98 more branches" in text
    assert len(text.splitlines()) < 12


def test_a_sweep_of_one_branch_is_shown_as_one() -> None:
    plan = Chain(step("get"), step("train"))
    assert "⇉ 1 branch over x [" in tree_text("one", merge(sweep(plan)))
    assert "⇉ 1 branch [" in tree_text("one", merge([Branch({}, plan)]))


@st.composite
def chains(draw: st.DrawFn) -> list[list[tuple[str, int]]]:
    """Branches as lists of (step, argument)."""
    row = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=4)
    rows = draw(st.lists(row, min_size=1, max_size=5))
    return [[(f"{name}{i}", value) for i, (name, value) in enumerate(one)] for one in rows]


def paths(root: Node) -> Iterator[tuple[str, ...]]:
    """What runs before what: each task with its ancestors, by bare name and arguments."""
    parents = parents_of(lower(root))
    by_name = {task.name: task for task, _ in tasks(root)}

    def describe(name: str) -> str:
        task = by_name[name]
        assert isinstance(task, Step)
        return f"{name.partition('[')[0]}{task.args}"

    def up(name: str) -> tuple[str, ...]:
        before = parents[name]
        return (*(up(before[0]) if before else ()), describe(name))

    for name in by_name:
        yield up(name)


@given(chains())
def test_merged_branches_have_the_same_ways_through_as_the_branches_alone(
    rows: list[list[tuple[str, int]]],
) -> None:
    roots = [Chain(*(step(name, value) for name, value in row)) for row in rows]
    merged, apart = merge(sweep(*roots)), merge(sweep(*roots), share=False)
    check_unique_names(merged)
    assert set(paths(merged)) == set(paths(apart))
    assert sorted(set(paths(merged))) == sorted(paths(merged))  # each way is there once


def test_parallels_with_different_limits_are_not_equal() -> None:
    roots = [
        Chain(Parallel(step("a"), step("b"), max_concurrent=limit), step("c", limit))
        for limit in (1, 2)
    ]
    assert sum(name.startswith("a") for name in names(merge(sweep(*roots)))) == 2
