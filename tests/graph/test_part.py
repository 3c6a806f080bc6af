"""A part of a plan, held against the plain meaning of a tree."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit import Chain, Node, Parallel, PlanError, Step, Sweep
from planit.graph import Branch, DoneBefore, Part, merge, part_of
from planit.graph.part import before
from planit.nodes import Task, tasks
from tests.graph.reference import ancestors, trees
from tests.helpers import CPU, nothing, step

TRAIN = step("train")
PLAN = Chain(step("prepare"), Sweep("train", nothing, CPU, over={"lr": [0.1, 0.01]}), step("end"))


def names(root: Node) -> list[str]:
    return [task.name for task, _ in tasks(root)]


@given(trees, st.data())
def test_from_and_until_mean_what_depends_on_a_step_and_what_it_depends_on(
    root: Node, data: st.DataObject
) -> None:
    needs = ancestors(root)
    if not needs:
        return
    chosen = data.draw(st.sets(st.sampled_from(sorted(needs)), min_size=1))
    behind = {name for name in needs if chosen & {name, *needs[name]}}
    needed = chosen.union(*(needs[name] for name in chosen))
    assert set(part_of(root, start_from=chosen).steps) == behind
    assert set(part_of(root, until=chosen).steps) == needed == before(root, chosen)
    assert set(part_of(root, only=chosen).steps) == chosen


@given(trees, st.data())
def test_the_steps_of_a_part_keep_their_order_and_what_they_wait_for(
    root: Node, data: st.DataObject
) -> None:
    needs = ancestors(root)
    if not needs:
        return
    kept = data.draw(st.sets(st.sampled_from(sorted(needs)), min_size=1))
    tree = Part(kept).tree(root)
    assert names(tree) == [name for name in names(root) if name in kept]
    assert ancestors(tree) == {name: needs[name] & kept for name in kept}


def test_a_part_of_everything_is_the_plan_itself() -> None:
    assert Part(names(PLAN)).tree(PLAN) is PLAN


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"start_from": ["train"]}, ["train[lr=0.1]", "train[lr=0.01]", "end"]),
        ({"start_from": ["train"], "until": ["train"]}, ["train[lr=0.1]", "train[lr=0.01]"]),
        ({"only": ["train[lr=0.1*]", "end"]}, ["train[lr=0.1]", "end"]),
        ({"until": ["*0.01]"]}, ["prepare", "train[lr=0.01]"]),
    ],
)
def test_steps_are_named_as_everywhere(asked: dict[str, list[str]], found: list[str]) -> None:
    assert names(part_of(PLAN, **asked).tree(PLAN)) == found


def test_a_sweep_says_how_many_of_its_branches_are_left() -> None:
    rows = [Branch({"lr": lr}, Step("train", nothing, CPU, lr)) for lr in ("1", "2", "3")]
    tree = part_of(merge(rows), only=["train[lr=2]", "train[lr=3]"]).tree(merge(rows))
    assert isinstance(tree, Parallel)
    assert tree.label == "2 of 3 branches over lr"


def test_what_means_no_step_is_refused() -> None:
    with pytest.raises(PlanError, match="no step 'tran'") as refused:
        part_of(PLAN, only=["tran"])
    assert "train" in str(refused.value.hint)
    with pytest.raises(PlanError, match="no step of the plan is from end and until prepare"):
        part_of(PLAN, start_from=["end"], until=["prepare"])


def test_folders_of_steps_done_before_are_those_of_their_run() -> None:
    sweep = Sweep("train", nothing, CPU, over={"lr": [1, 2]})
    root = Chain(sweep, Step("end", nothing, CPU, f"{TRAIN.dir}/model"))
    done = {"train[lr=1]": DoneBefore(Path("/old"), Path("/old/train-000"))}
    part = Part({"train[lr=2]", "end"}, done)
    (_, (end, _)) = tasks(part.tree(root, lambda name: Path("/new", name)))
    assert isinstance(end, Step)
    assert end.args == (["/old/train-000/model", "/new/train[lr=2]/model"],)


def test_a_folder_that_nobody_knows_is_refused_by_name_where_it_is_used() -> None:
    root = Chain(
        step("prepare"),
        Parallel(TRAIN, Step("other", nothing, CPU, step("prepare").dir)),
        Step("end", nothing, CPU, TRAIN.dir),
    )
    with pytest.raises(PlanError, match=r"step 'end': \$\{dir:train\}: .* is left out") as refused:
        Part({"end"}).tree(root)
    assert "--after" in str(refused.value.hint)
    assert names(Part({"train"}).tree(root)) == ["train"]


def test_depth_does_not_matter() -> None:
    root: Node = step("a")
    for _ in range(5000):
        root = Chain(root)
    deep = Chain(root, step("b"))
    assert part_of(deep, start_from=["a"]).steps == {"a", "b"}
    assert isinstance(Part({"a"}).tree(deep), Chain)
    assert all(isinstance(task, Task) for task, _ in tasks(Part({"a"}).tree(deep)))
