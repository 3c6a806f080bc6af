"""The node `Sweep`, and the limit of a Parallel."""

from __future__ import annotations

from typing import Any

import pytest

from planit import Parallel, PlanError, Step, Sweep
from planit.nodes.sweep import swept_value
from tests.helpers import CPU, nothing, step


def names(sweep: Sweep) -> list[str]:
    return [child.name for child in sweep.children if isinstance(child, Step)]


def test_a_sweep_is_a_parallel_of_one_step_per_combination() -> None:
    over: dict[str, list[Any]] = {"lr": [1e-3, 1e-4], "model": ["bert", "roberta"]}
    sweep = Sweep("train", nothing, CPU, "positional", over=over, epochs=3)
    assert names(sweep) == [
        "train[lr=0.001,model=bert]",
        "train[lr=0.001,model=roberta]",
        "train[lr=0.0001,model=bert]",
        "train[lr=0.0001,model=roberta]",
    ]
    first = sweep.children[0]
    assert isinstance(sweep, Parallel)
    assert isinstance(first, Step)
    assert (first.args, first.kwargs) == (
        ("positional",),
        {"epochs": 3, "lr": 0.001, "model": "bert"},
    )


@pytest.mark.parametrize(
    "sweep",
    [
        Sweep("t", nothing, CPU, over={"lr": [1e-3], "model": ["bert"]}),
        Sweep(func=nothing, slurm_args=CPU, over={"lr": [1e-3], "model": ["bert"]}).named("t"),
    ],
    ids=["with a name", "named by the plan"],
)
def test_each_step_of_a_sweep_says_what_it_is_a_branch_of(sweep: Sweep) -> None:
    (child,) = sweep.children
    assert isinstance(child, Step)
    assert (child.name, child.base) == ("t[lr=0.001,model=bert]", "t")
    assert child.values == {"lr": 0.001, "model": "bert"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.001", 0.001), ("1e-3", 0.001), ("-3", -3), ("0", 0), ("true", True), ("null", None),
        ("gpu_a100", "gpu_a100"), ("'1'", "1"), ("007", "007"), ("[1,2]", "[1,2]"), ("", ""),
        ("'", "'"), ("inf", float("inf")), ("0x1", "0x1"), ("True", "True"),
    ],
)  # fmt: skip
def test_a_value_of_the_command_line_is_the_number_or_word_that_it_says(
    text: str, value: Any
) -> None:
    found = swept_value(text)
    assert (type(found), found) == (type(value), value)


def test_zip_takes_the_values_together() -> None:
    over: dict[str, Any] = {"lr": [1, 2], "seed": range(2)}
    assert names(Sweep("t", nothing, CPU, over=over, combine="zip")) == [
        "t[lr=1,seed=0]",
        "t[lr=2,seed=1]",
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"over": {}}, "over must map"),
        ({"over": {"lr": []}}, "lr has no values"),
        ({"over": {"lr": "abc"}}, "lr must have a list of values, not 'abc'"),
        ({"over": {"lr": [1], "s": [1, 2]}, "combine": "zip"}, "different lengths"),
        ({"over": {"lr": [1]}, "combine": "sum"}, "product or zip"),
        ({"over": {"lr": [1]}, "lr": 2}, "both swept and given"),
        ({"over": {"lr": [1]}, "max_concurrent": 0}, "at least 1"),
    ],
)
def test_a_wrong_sweep_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(PlanError, match=words):
        Sweep("t", nothing, CPU, **arguments)


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(PlanError, match="max_concurrent must be"):
        Parallel(step("a"), max_concurrent=limit)
