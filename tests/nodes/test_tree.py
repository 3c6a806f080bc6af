"""Steps, commands and groups: what they take, keep and refuse."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Parallel, Plan, PlanError, Step
from planit.job.call import call_of
from planit.nodes import tasks
from planit.nodes.arguments import Unbuilt
from tests.helpers import CPU, nothing, step


def call(task: Step) -> tuple[tuple[Any, ...], dict[str, Any]]:
    made = call_of(task)
    return tuple(made.args), dict(made.kwargs)


def test_arguments_reach_the_function_as_written() -> None:
    assert call(Step("a", nothing, CPU, 1, "x", epochs=3)) == ((1, "x"), {"epochs": 3})


def test_a_functions_own_name_func_and_slurm_args_stay_reachable() -> None:
    made = Step("a", nothing, CPU, name="n", func="f", slurm_args="s")
    assert made.name == "a"
    assert made.func is nothing
    assert made.slurm_args is CPU
    assert call(made) == ((), {"name": "n", "func": "f", "slurm_args": "s"})


def test_a_step_may_be_written_with_keywords_only() -> None:
    made = Step(name="a", func=nothing, slurm_args=CPU, epochs=1)
    assert (made.name, call(made)) == ("a", ((), {"epochs": 1}))


@pytest.mark.parametrize(
    ("args", "missing"), [((), "func"), (("a",), "func"), (("a", nothing), "slurm_args")]
)
def test_a_missing_argument_of_a_step_is_named(args: tuple[Any, ...], missing: str) -> None:
    with pytest.raises(PlanError, match=f"has no {missing}") as caught:
        Step(*args)
    assert caught.value.hint == "Step(name, func, slurm_args, *args, **kwargs)"


@pytest.mark.parametrize("name", ["", "  ", None, 3, "a\nb", "a\x00b", "a\tb"])
def test_a_name_that_is_no_printable_text_is_refused(name: Any) -> None:
    with pytest.raises(PlanError, match="name"):
        Step(name, nothing, CPU)
    with pytest.raises(PlanError, match="name"):
        Command(name, "true", CPU)


@pytest.mark.parametrize("func", [None, 3, ["f"], {"a": 1}])
def test_a_func_that_cannot_be_called_is_refused_naming_the_step(func: Any) -> None:
    with pytest.raises(PlanError, match="step 'a': func must be a callable or a dotted path"):
        Step("a", func, CPU)


@pytest.mark.parametrize("args", [None, 3, "gpu_a100", ["x"]])
def test_slurm_args_of_a_wrong_kind_are_refused_naming_the_step(args: Any) -> None:
    with pytest.raises(PlanError, match="step 'a': slurm_args must be SlurmArgs or a dict"):
        Step("a", nothing, args)


def test_the_users_dict_is_copied_whole() -> None:
    raw: dict[str, Any] = {
        "slurm_time": "01:00:00",
        "slurm_additional_parameters": {"qos": "high"},
    }
    before = copy.deepcopy(raw)
    made = Step("a", nothing, raw)
    assert raw == before
    raw["slurm_time"] = "02:00:00"
    raw["slurm_additional_parameters"]["qos"] = "low"
    assert made.slurm_args == before
    assert made.resources.options["additional_parameters"] == {"qos": "high"}
    assert made.resources.time_text == "01:00:00"


def test_two_steps_of_one_name_are_refused_naming_both_places() -> None:
    root = Chain(step("a"), Parallel(step("b"), Chain(step("c"), step("a"))))
    with pytest.raises(PlanError) as caught:
        Plan("p", root)
    message = "two steps are called 'a': at Chain[0] and at Chain[1].Parallel[1].Chain[1]"
    assert caught.value.message == message


def test_the_same_step_object_twice_is_a_duplicate_too() -> None:
    one = step("a")
    with pytest.raises(PlanError, match=r"at Parallel\[0\] and at Parallel\[1\]"):
        Plan("p", Parallel(one, one))


@pytest.mark.parametrize(
    ("child", "shown", "hint"),
    [
        ([step("a")], r"child 1 is \[Step\('a'\)\]", "unpack the list"),
        (Step, "child 1 is the class Step", "make one: Step"),
        (5, "child 1 is 5", "a node is a Step"),
        (None, "child 1 is None", "a node is a Step"),
        (nothing, "child 1 is <function nothing", "a node is a Step"),
    ],
)
@pytest.mark.parametrize("group", [Chain, Parallel])
def test_what_is_not_a_node_is_refused_where_it_stands(
    group: type[Chain | Parallel], child: Any, shown: str, hint: str
) -> None:
    with pytest.raises(PlanError, match=f"{group.__name__} expects nodes, but {shown}") as caught:
        group(step("first"), child)
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("root", "says"),
    [(None, "no root"), ([step("a")], "the root"), (Step, "the root"), ("a", "the root 'a'")],
)
def test_a_plan_without_a_node_as_root_is_refused(root: Any, says: str) -> None:
    with pytest.raises(PlanError, match=f"plan 'p' has {says}"):
        Plan("p", root)


@pytest.mark.parametrize("name", ["", " ", None, 5, "a\nb"])
def test_a_plan_needs_a_name(name: Any) -> None:
    with pytest.raises(PlanError, match="the name of a plan"):
        Plan(name, step("a"))


def test_tasks_come_in_written_order_with_their_places() -> None:
    root = Chain(step("a"), Parallel(), Parallel(step("b"), step("c")), step("d"))
    assert [(task.name, place) for task, place in tasks(root)] == [
        ("a", "Chain[0]"),
        ("b", "Chain[2].Parallel[0]"),
        ("c", "Chain[2].Parallel[1]"),
        ("d", "Chain[3]"),
    ]
    assert [place for _, place in tasks(step("a"))] == ["the root"]


@pytest.mark.parametrize(
    "command", ["", "  ", [], (), [""], None, 3, {"a": 1}, [None], ["a", ["b"]]]
)
def test_a_command_that_is_neither_text_nor_words_is_refused(command: Any) -> None:
    with pytest.raises(PlanError, match="step 'c': command"):
        Command("c", command, CPU)


def test_a_command_keeps_words_folder_and_environment_as_text() -> None:
    env: dict[str, Any] = {"N": 3}
    words: list[Any] = ["prog", "--n", 3, 0.5]
    made = Command("c", words, CPU, cwd=Path("/tmp"), env=env)
    env["N"], words[0] = 4, "other"
    assert made.command == ("prog", "--n", "3", "0.5")
    assert (made.cwd, made.env) == ("/tmp", {"N": "3"})


@pytest.mark.parametrize("env", ["A=1", ["A=1"], 3])
def test_a_commands_environment_must_be_a_mapping(env: Any) -> None:
    with pytest.raises(PlanError, match="step 'c': env must be a mapping"):
        Command("c", "true", CPU, env=env)


def test_a_tree_is_shown_as_it_is_written() -> None:
    assert repr(Chain(step("a"), Parallel(Command("b", "x", CPU)))) == (
        "Chain(Step('a'), Parallel(Command('b')))"
    )


@pytest.mark.parametrize(
    ("args", "kwargs", "where"),
    [
        ((step("a"),), {}, "argument 0 is Step('a')"),
        ((1, [0, step("a")]), {}, "argument 1 is Step('a')"),
        ((), {"data": {"of": (step("a"),)}}, "argument 'data' is Step('a')"),
        ((Chain(step("a")),), {}, "argument 0 is Chain(Step('a'))"),
        ((), {"data": Unbuilt({"_target_": "planit.Step"})}, "argument 'data' is planit.Step"),
    ],
)
def test_a_node_as_an_argument_of_a_step_is_refused(
    args: tuple[Any, ...], kwargs: dict[str, Any], where: str
) -> None:
    with pytest.raises(PlanError) as refused:
        Step("b", nothing, CPU, *args, **kwargs)
    assert refused.value.message == f"step 'b': {where}, and steps do not hand on values"
    assert refused.value.hint == (
        'put both in a Chain, and pass the first one\'s folder: step.dir / "model.pt", or in YAML'
        " ${dir:STEP}/model.pt"
    )


@pytest.mark.parametrize(
    ("where", "given"),
    [
        ("command", {"command": ["cat", step("a")]}),
        ("cwd", {"command": "true", "cwd": step("a")}),
        ("env.A", {"command": "true", "env": {"A": step("a")}}),
    ],
)
def test_a_step_in_a_command_is_refused(where: str, given: dict[str, Any]) -> None:
    with pytest.raises(PlanError, match=rf"step 'b': {where} has Step\('a'\)") as refused:
        Command("b", slurm_args=CPU, **given)
    assert "step.dir" in str(refused.value.hint)


def test_other_arguments_that_hold_each_other_are_passed_on() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert Step("a", nothing, CPU, ring).args[0] is ring
