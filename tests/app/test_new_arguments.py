"""Overrides of a resume that change arguments: which they are, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from planit import Chain, Step, Sweep
from planit.app.config.new_arguments import take_arguments
from planit.errors import ConfigError
from planit.graph import Branch, merge
from planit.nodes import Node, Origin, Task, tasks
from planit.record.manifest import describe_run, trees_of
from planit.submit.recorded_calls import REMOVED, NewArgument
from tests.helpers import CPU, nothing, step

CONFIG = {
    "lr": 0.1,
    "plan": {
        "steps": {
            "prepare": {"func": "x.y", "rows": 3},
            "train": {"func": "x.y", "lr": "${lr}", "model": {"size": "${size}", "seed": 1}},
            "grid": {"func": "x.y", "over": {"k": [1, 2]}, "p": 1},
        }
    },
}


def manifest(root: Node, config: Any = None) -> dict[str, Any]:
    names = [task.name for task, _ in tasks(root)]
    trees = trees_of(root, root, {name: name for name in names}, None)
    return describe_run("p", trees, {"config": config})


def of(name: str, task: Task) -> Task:
    task.origin = Origin(name, "slurm")
    return task


def configured() -> dict[str, Any]:
    """A run of a sweep over lr and size."""
    rows = []
    for lr in ("1", "2"):
        train = of("train", Step("train", nothing, CPU, lr))
        rows.append(Branch({"lr": lr, "size": lr}, Chain(of("prepare", step("prepare")), train)))
    root = merge(rows, join=[])
    grid = Sweep("grid", nothing, CPU, over={"k": [1, 2]}, p=1)
    for task in grid.children:
        assert isinstance(task, Task)
        of("grid", task)
    return manifest(Chain(root, grid), CONFIG)


TRAIN = ["train[lr=1,size=1]", "train[lr=2,size=2]"]


@pytest.mark.parametrize(
    ("word", "steps", "path", "value", "is_new"),
    [
        ("plan.steps.prepare.rows=4", ["prepare"], ["rows"], 4, False),
        ("plan.steps.train.model.seed=2", TRAIN, ["model", "seed"], 2, False),
        ("+plan.steps.train.more='a b'", TRAIN, ["more"], "a b", True),
        ("++plan.steps.train.kwargs.name=x", TRAIN, ["name"], "x", True),
        ("~plan.steps.prepare.rows", ["prepare"], ["rows"], REMOVED, False),
        ("plan.steps.prepare._args_=[1,{a: b}]", ["prepare"], ["_args_"], [1, {"a": "b"}], False),
        ("plan.steps.grid.p=2", ["grid[k=1]", "grid[k=2]"], ["p"], 2, False),
    ],
)
def test_an_override_names_a_step_of_every_branch_and_an_argument(
    word: str, steps: list[str], path: list[str], value: Any, is_new: bool
) -> None:
    found, rest = take_arguments(configured(), [word, "slurm.time='9'"])
    assert found == [NewArgument(word, steps, path, value, is_new)]
    assert rest == ["slurm.time='9'"]


def test_slurm_arguments_of_a_step_are_left_to_what_changes_those() -> None:
    words = ["plan.steps.train.slurm.time='9'", "plan.steps.train.slurm_args=cpu", "lr=3"]
    assert take_arguments(configured(), words) == ([], words)


def test_steps_made_in_python_have_their_names() -> None:
    grid = Sweep("grid", nothing, CPU, over={"k": [1, 2]}, p=1)
    run = manifest(Chain(Step("one", nothing, CPU, 1), grid))
    found, _ = take_arguments(run, ["plan.steps.one.x=1", "plan.steps.grid.p=2"])
    assert [list(new.steps) for new in found] == [["one"], ["grid[k=1]", "grid[k=2]"]]
    with pytest.raises(ConfigError, match="k is swept"):
        take_arguments(run, ["plan.steps.grid.k=2"])


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("plan.steps.train.lr=3", "lr is swept, and its branches would all be the same", "-m"),
        ("plan.steps.train.model={size: 3}", "size is swept", "-m"),
        ("plan.steps.train.model.size=3", "size is swept", "-m"),
        ("plan.steps.grid.k=3", "k is swept", "-m"),
        ("plan.steps.trian.x=3", "plan.steps.trian: plan.steps has no such step", "train"),
        ("plan.steps.train.func=x.y", "func cannot be changed in a resume", "anew"),
        ("plan.steps.train._partial_=true", "_partial_ cannot be changed", "anew"),
        ("plan.steps.prepare.rows=1,2", "a resume takes KEY=VALUE and ~KEY", None),
        ("plan.steps.prepare.rows=${lr}", "plain values, without interpolations", None),
    ],
)
def test_what_cannot_be_changed_is_refused(word: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as refused:
        take_arguments(configured(), [word])
    assert message in refused.value.message
    assert hint is None or hint in str(refused.value.hint)


def test_an_override_that_is_swept_itself_is_not_changed() -> None:
    rows = [
        Branch({"plan.steps.train.lr": lr}, of("train", Step("train", nothing, CPU, lr)))
        for lr in ("1", "2")
    ]
    run = manifest(merge(rows, join=[]), {"plan": {"steps": {"train": {"lr": 1}}}})
    with pytest.raises(ConfigError, match=r"plan\.steps\.train\.lr is swept"):
        take_arguments(run, ["plan.steps.train.lr=3"])
