"""A configuration as it is written, and the key that each step's SLURM arguments come from."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from planit.app.config.written import Written, as_written, preset_keys, references

CONFIG: dict[str, Any] = {
    "slurm": {"_target_": "planit.SlurmArgs", "time": "1"},
    "raw": {"slurm_time": "2"},
    "main": "${slurm}",
    "folder": {"big": "${main}", "plain": {"time": "3"}},
    "other": "${folder}",
    "here": "${there}",
    "there": "${here}",
    "missing": "???",
    "lr": 0.1,
}


def written(**more: Any) -> Written:
    return Written(OmegaConf.create({**CONFIG, **more}))


@pytest.mark.parametrize(
    ("key", "content", "rest"),
    [
        ("lr", 0.1, []),
        ("slurm.time", "1", []),
        ("main", "${slurm}", []),
        ("main.time", "${slurm}", ["time"]),
        ("other.big.time", "${folder}", ["big", "time"]),
        ("missing", "???", []),
        ("nothing", None, []),
        ("lr.deeper", 0.1, ["deeper"]),
    ],
)
def test_content_is_given_as_it_is_written(key: str, content: Any, rest: list[str]) -> None:
    assert written().at(key) == (content, rest)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("${slurm}", "slurm"),
        ("${main}", "slurm"),
        ("${folder.big}", "slurm"),
        ("${other.big}", "slurm"),
        ("${other.plain}", "folder.plain"),
        ("${raw}", "raw"),
        ("text", None),
        (5, None),
        ({"time": "${slurm.time}"}, None),
    ],
)
def test_a_reference_is_followed_to_the_key_that_it_ends_at(value: Any, key: str | None) -> None:
    found, content = written().follow(value)
    assert found == key
    assert isinstance(content, dict) == (key is not None or isinstance(value, dict))


def test_references_in_a_circle_lead_nowhere() -> None:
    assert not isinstance(written().follow("${here}")[1], dict)


def test_the_steps_of_a_plan_by_their_place_each_with_its_preset() -> None:
    plan = {
        "steps": {
            "a": {"slurm_args": "${slurm}"},
            "b": {"slurm_args": "${other.big}"},
            "same": "${plan.steps.b}",
            "named": {"slurm_args": "slurm"},  # found when the plan is built
            "own": {"slurm_args": {"time": "${slurm.time}"}},
            "none": {"slurm_args": "${lr}"},
        },
        "root": {"_args_": ["a", {"_args_": [{"slurm_args": "${raw}"}, "b"]}]},
    }
    assert preset_keys(written(plan=plan)) == {
        "plan.steps.a": "slurm",
        "plan.steps.b": "slurm",
        "plan.steps.same": "slurm",
        "plan.root._args_[1]._args_[0]": "raw",
    }


@pytest.mark.parametrize("plan", [None, "text", {"steps": ["a"]}, {"root": {"_args_": "x"}}])
def test_what_is_not_a_plan_has_no_presets(plan: Any) -> None:
    assert preset_keys(written(plan=plan)) == {}


def test_only_plain_references_are_told() -> None:
    assert references("${a}-${b.c}") == ["a", "b.c"]
    assert references("${a}-${oc.env:HOME}") is None
    assert references("${dir:train}/${a}") == ["a"]
    assert references("${dir:${a}}") is None


def test_hydras_own_part_is_left_out_of_what_is_recorded() -> None:
    config = OmegaConf.create({"lr": "${oc.env:NOT_THERE}", "missing": "???", "hydra": {"a": 1}})
    assert as_written(config) == {"lr": "${oc.env:NOT_THERE}", "missing": "???"}
