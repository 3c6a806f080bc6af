"""A plan whose root refers to its steps by name."""

from __future__ import annotations

import re
from typing import Any

import pytest

from planit import Chain, Command, HydraApp, Parallel, Plan, PlanError, SlurmArgs, Step, Sweep
from planit.nodes import tasks
from tests.helpers import CPU, nothing, step


def names(plan: Plan) -> list[str]:
    return [task.name for task, _ in tasks(plan.root)]


def test_the_root_names_its_steps() -> None:
    steps: dict[str, Any] = {
        "get": Command(command="ls", slurm_args=CPU),
        "train": Step(func=nothing, slurm_args=CPU, lr=1),
        "sweep": Sweep(func=nothing, slurm_args=CPU, over={"a": [1, 2]}),
        "app": HydraApp(script="train.py", slurm_args=CPU),
        "own": step("its_own_name"),
        "mapping": {"func": "a.b", "slurm_args": CPU, "slurm": {"time": "7"}, "x": 1},
    }
    root = Chain("get", Parallel("train", "sweep", "app"), Chain("own", step("other")), "mapping")
    plan = Plan("p", root, steps)
    assert names(plan) == [
        "get",
        "train",
        "sweep[a=1]",
        "sweep[a=2]",
        "app",
        "its_own_name",
        "other",
        "mapping",
    ]
    last = plan.root.children[3]
    assert isinstance(last, Step)
    assert last.kwargs == {"x": 1}
    assert isinstance(last.slurm_args, SlurmArgs)
    assert (last.slurm_args.time, last.slurm_args.partition) == ("7", "batch")
    assert steps["train"].name == ""  # what was passed in is not changed


def test_a_step_that_the_root_does_not_name_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert names(Plan("p", Chain(step("a")), steps={"b": step("b"), "c": 5})) == ["a"]
    assert caplog.messages == ["the root does not name the step 'b' of steps, nor 'c': not run"]


def test_one_step_can_be_the_root() -> None:
    assert names(Plan("p", "a", steps={"a": step("a")})) == ["a"]


@pytest.mark.parametrize(
    ("root", "steps", "says"),
    [
        (Chain("a", "b"), {"a": step("a")}, "the plan has no step 'b'"),
        (Chain("a"), None, "the plan has no step 'a'"),
        (Chain("a", "a"), {"a": step("a")}, "two steps are called 'a'"),
        (Chain("a"), {"a": 5}, "step 'a' must be a node, or a mapping, not 5"),
        (Chain("a"), {"a": {"func": "x.y"}}, "step 'a' has no slurm_args"),
        (Chain("a"), {"a": {"func": "x.y", "slurm_args": {"tiem": 1}}}, "no field 'tiem'"),
        (Chain(Step(func=nothing, slurm_args=CPU)), None, "Chain[0] has no name"),
    ],
)
def test_what_does_not_fit_is_refused(root: Any, steps: Any, says: str) -> None:
    with pytest.raises(PlanError, match=re.escape(says)):
        Plan("p", root, steps)
