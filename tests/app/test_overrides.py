"""The command line changes presets, parameters and single steps, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig

from planit import Command, Plan, Step
from planit.app.config.compose import run_app
from planit.app.config.plans import plan_of
from planit.nodes import Origin, Task, tasks
from planit.nodes.arguments import Unbuilt
from planit.nodes.slurm_args import resources_of
from tests.helpers import all_below, write


class Keep:
    """What is done with a composed configuration here: its plan is kept."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []

    def __call__(self, config: DictConfig) -> None:
        self.plans.append(plan_of(config))

    def sweep(self, *_args: object) -> None:
        raise AssertionError("no sweep was asked for")

    def batch(self, *_args: object) -> list[Any]:
        raise AssertionError("no batch was asked for")


def plan_for(*words: str, config_dir: str | None = None) -> Plan:
    """The plan that a command line makes, without a process of its own."""
    keep = Keep()
    run_app(keep, words, config_dir)
    return keep.plans[0]


def steps_for(*words: str, config_dir: str | None = None) -> dict[str, Task]:
    return {task.name: task for task, _ in tasks(plan_for(*words, config_dir=config_dir).root)}


def times(steps: dict[str, Task]) -> dict[str, str]:
    return {name: task.resources.time_text for name, task in steps.items()}


def changed(before: dict[str, Task], after: dict[str, Task]) -> set[str]:
    assert list(before) == list(after)
    return {name for name in before if before[name].resources.key != after[name].resources.key}


MAIN = {"train_bert", "train_roberta", "hyperparam_search", "train_xlm-r", "train_nl"}
LIGHT = {"download_data", "preprocess_en", "preprocess_nl", "evaluate_all", "generate_plots"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(empty_dir: Path) -> None:
    """So that planit's own conf/ is used."""


@pytest.fixture
def plain() -> dict[str, Task]:
    return steps_for("plan=thesis")


def test_the_presets_are_what_the_specification_assumes(plain: dict[str, Task]) -> None:
    assert {n for n, time in times(plain).items() if time == "02:00:00"} == MAIN
    assert {n for n, time in times(plain).items() if time == "01:00:00"} == LIGHT
    assert plain["train_bert"].resources.options == {
        "time": "02:00:00",
        "partition": "gpu_a100",
        "gpus_per_node": 1,
        "cpus_per_gpu": 18,
    }


@pytest.mark.parametrize(
    ("words", "who"),
    [
        (["slurm.time=04:00:00"], MAIN),
        (["slurm.time=12:00:00"], MAIN),  # base 60 in a YAML file, text on the command line
        (["slurm=cpu"], MAIN),
        (["cpu.time=00:10:00"], LIGHT),
        (["slurm@cpu=gpu_a100"], LIGHT),
        (["+cpu.mem_gb=4"], LIGHT),
        (["+slurm.mail_user=me@u.edu"], MAIN),
        (["+slurm.setup=[module load x]"], MAIN),
        (["slurm=wice_a100", "slurm.account=a", "slurm.mail_user=m"], MAIN),
        (["plan.steps.train_bert.slurm_args=cpu"], {"train_bert"}),
        (["plan.steps.train_bert.slurm.time=08:00:00"], {"train_bert"}),
        (["plan.steps.train_xlm-r.slurm.mem_gb=64"], {"train_xlm-r"}),
        (["plan.steps.download_data.slurm_args=${slurm}"], {"download_data"}),
    ],
)
def test_an_override_changes_the_steps_that_it_is_about_and_no_other(
    plain: dict[str, Task], words: list[str], who: set[str]
) -> None:
    assert changed(plain, steps_for("plan=thesis", *words)) == who


def test_the_time_of_a_preset_and_of_one_step_are_taken_as_written() -> None:
    steps = steps_for(
        "plan=thesis",
        "slurm.time=04:00:00",
        "cpu.time=1-0",
        "plan.steps.train_bert.slurm.time=08:00:00",
    )
    assert times(steps)["train_roberta"] == "04:00:00"
    assert times(steps)["train_bert"] == "08:00:00"
    assert times(steps)["download_data"] == "1-0"


def test_one_steps_preset_and_one_field_of_it_may_both_be_changed() -> None:
    words = ["plan.steps.train_bert.slurm_args=cpu", 'plan.steps.train_bert.slurm.time="30"']
    options = steps_for("plan=thesis", *words)["train_bert"].resources.options
    assert options == {"time": "30", "partition": "batch", "cpus_per_task": 8}


def test_a_vsc_preset_for_one_step_is_filled_in_for_that_step() -> None:
    key = "plan.steps.train_bert"
    words = [f"{key}.slurm_args=wice_h100", f"{key}.slurm.account=a", f"{key}.slurm.mail_user=m"]
    options = steps_for("plan=thesis", *words)["train_bert"].resources.options
    assert (options["account"], options["mail_user"]) == ("a", "m")
    assert options["additional_parameters"] == {"clusters": "wice"}


def test_a_parameter_of_one_step_reaches_its_function() -> None:
    steps = steps_for("plan=thesis", "plan.steps.train_bert.epochs=3", "lr=1e-2", "seed=7")
    bert, roberta = steps["train_bert"], steps["train_roberta"]
    assert isinstance(bert, Step)
    assert isinstance(roberta, Step)
    assert bert.kwargs == {"model": "bert", "epochs": 3, "lr": 0.01, "seed": 7}
    assert roberta.kwargs == {"model": "roberta", "epochs": 5, "seed": 7}
    assert bert.func == "examples.thesis.train"


def test_the_same_command_line_gives_the_same_plan_again() -> None:
    changed_once = steps_for("plan=thesis", "slurm.time=04:00:00")
    assert times(changed_once)["train_bert"] == "04:00:00"
    assert times(steps_for("plan=thesis"))["train_bert"] == "02:00:00"


def test_running_the_app_leaves_environment_and_arguments_as_they_were() -> None:
    import sys

    before = dict(os.environ), list(sys.argv)
    steps_for("plan=thesis")
    assert (dict(os.environ), list(sys.argv)) == before


OWN = """\
_target_: planit.Plan
name: own
vars: {size: 3}
steps:
  nodes_own_words:
    func: my.module.f
    slurm_args: cpu
    kwargs: {name: n, func: f, slurm_args: s, slurm: x}
    _args_: [1, two]
  listing:
    {_target_: planit.Command, command: [ls, -l], slurm_args: "${cpu}", cwd: /tmp, env: {A: 1}}
  raw:
    func: my.module.f
    slurm_args: {slurm_time: "30", slurm_partition: x, slurm_additional_parameters: {qos: high}}
    slurm: {slurm_partition: y}
    size: ${plan.vars.size}
    shape: {rows: 2, when: {_target_: datetime.date, year: 2020, month: 1, day: 2}}
root:
  _target_: planit.Parallel
  _args_:
    - nodes_own_words
    - _target_: planit.nodes.Chain
      _args_: [listing, raw]
    - {_target_: planit.Step, name: inline, func: my.f, slurm_args: cpu}
"""


def test_a_plan_of_ones_own_with_everything_that_a_plan_may_have() -> None:
    write(Path("conf/plan/own.yaml"), OWN)
    steps = steps_for("plan=own")
    assert list(steps) == ["nodes_own_words", "listing", "raw", "inline"]
    words, listing, raw = steps["nodes_own_words"], steps["listing"], steps["raw"]
    assert isinstance(words, Step)
    assert words.args == (1, "two")
    assert words.kwargs == {"name": "n", "func": "f", "slurm_args": "s", "slurm": "x"}
    assert isinstance(listing, Command)
    assert (listing.command, listing.cwd, listing.env) == (("ls", "-l"), "/tmp", {"A": "1"})
    assert isinstance(raw, Step)
    assert raw.resources.options["partition"] == "y"
    assert raw.kwargs["size"] == 3
    when = {"_target_": "datetime.date", "year": 2020, "month": 1, "day": 2}
    assert raw.kwargs["shape"] == Unbuilt({"rows": 2, "when": when})
    assert steps["inline"].resources.key == words.resources.key


ORIGINS = """\
_target_: planit.Plan
name: origins
steps:
  whole: {func: my.f, slurm_args: "${slurm}", slurm: {time: "3"}}
  named: {name: other, func: my.f, slurm_args: cpu}
  file: {func: my.f, slurm_args: gpu_a100}
  own: {func: my.f, slurm_args: {slurm_time: "30"}}
  swept: {_target_: planit.Sweep, func: my.f, slurm_args: "${cpu}", over: {x: [1, 2]}}
root:
  _target_: planit.Chain
  _args_:
    - whole
    - named
    - file
    - own
    - swept
    - {name: inline, func: my.f, slurm_args: "${slurm}"}
"""


def test_a_step_remembers_where_the_configuration_has_it_for_a_resume() -> None:
    write(Path("conf/plan/origins.yaml"), ORIGINS)
    swept = Origin("swept", "cpu")
    assert {name: task.origin for name, task in steps_for("plan=origins").items()} == {
        "whole": Origin("whole", "slurm", {"time": "3"}),
        "other": Origin("named", "cpu"),
        "file": Origin("file", None),
        "own": Origin("own", None),
        "swept[x=1]": swept,
        "swept[x=2]": swept,
        "inline": Origin(None, "slurm"),
    }


def test_a_dict_in_yaml_and_in_python_mean_the_same() -> None:
    write(Path("conf/plan/own.yaml"), OWN)
    raw: dict[str, Any] = {
        "slurm_time": "30",
        "slurm_partition": "y",
        "slurm_additional_parameters": {"qos": "high"},
    }
    assert steps_for("plan=own")["raw"].resources.key == resources_of(raw).key


def test_composing_leaves_no_folder_behind() -> None:
    steps_for("plan=thesis")
    assert all_below(Path.cwd()) == []
