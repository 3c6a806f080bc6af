"""A resume of a sweep: overrides edit what the record has of the steps that are rerun."""

from __future__ import annotations

import json
from typing import Any

from planit import Run
from planit.record.history import read
from planit.record.run_dir import RunDir
from tests.helpers import write
from tests.local.project import Project, chain

PLAN = """\
# @package _global_
lr: 0
plan:
  _target_: planit.Plan
  name: swept
  steps:
    get: {func: work.note, slurm_args: "${cpu}"}
    train: {func: work.fail_once, slurm_args: "${slurm}", path: "train-${lr}"}
    score: {func: work.note, slurm_args: "${cpu}", path: "score-${lr}"}
  root: {_target_: planit.Chain, _args_: [get, train, score]}
"""
CONFIG = """\
defaults: [{slurm: cpu}, {slurm@cpu: cpu}, {backend: local}, {plan: swept}, _self_]
slurm: {cpus_per_task: 1}
cpu: {cpus_per_task: 1}
"""


def requested(project: Project) -> dict[str, Any]:
    """The wall time that each step asked for last, in minutes."""
    status = json.loads(project.planit("status", "--json").out)
    return {step["name"]: step["requested_s"] / 60 for step in status["steps"]}


def test_a_sweep_is_resumed_with_other_arguments_for_a_step_and_a_preset(project: Project) -> None:
    write(project.folder / "conf/plan/swept.yaml", PLAN)
    write(project.folder / "conf/config.yaml", CONFIG)
    words = ["lr=1,2", "~cpu.cpus_per_task"]
    assert project.planit("submit", "-m", *words).code == 1
    hour = {"get": 60, "train[lr=1]": 60, "score[lr=1]": 60, "train[lr=2]": 60, "score[lr=2]": 60}
    assert requested(project) == hour
    manifest = json.loads((project.run_dir() / "manifest.json").read_text())
    assert manifest["overrides"] == words
    assert manifest["config"]["plan"]["steps"]["train"]["path"] == "train-${lr}"

    stages = sorted(project.run_dir().glob("stages/*"))
    for word, says in (
        ("plan.steps.train.slurm_whatever=3", "the step has no 'slurm_whatever'"),
        (
            "plan.steps.get.slurm.time=00:09:00",
            "no effect: no step that is rerun uses plan.steps.get",
        ),
        ("plan.steps.trian.slurm.time=00:09:00", "plan.steps.trian: plan.steps has no such step"),
    ):
        for more in ([], ["--dry-run"]):
            refused = project.planit("resume", word, *more)
            assert (refused.code, says in refused.err) == (2, True), refused.err
    assert sorted(project.run_dir().glob("stages/*")) == stages

    again = ["plan.steps.train.slurm.time=00:09:00", "cpu.time=00:08:00", "~slurm.cpus_per_task"]
    assert project.planit("resume", *again).code == 0
    assert requested(project) == {
        "get": 60,
        "train[lr=1]": 9,
        "score[lr=1]": 8,
        "train[lr=2]": 9,
        "score[lr=2]": 8,
    }
    places = read(RunDir(project.run_dir())).placements
    assert places["train[lr=1]"].options == {"time": "00:09:00", "partition": "batch"}
    done = project.planit("resume", *again)
    assert (done.code, "Nothing to rerun" in done.out) == (0, True)


def test_a_resume_changes_a_variable_and_keeps_the_rest_of_the_environment(
    project: Project,
) -> None:
    own = {"env": {"PLACE": "/no/place", "KEPT": "kept"}, "workdir": "$PLACE", "setup": ["true"]}
    project.plan({"a": {"func": "kept", "slurm": own}}, chain("a"))
    assert project.planit("submit", "plan=p", "backend=local", "backend.cpus=1").code == 1
    (step,) = json.loads(project.planit("status", "--json").out)["steps"]
    assert step["cause"] == 'workdir line 1: cd "${PLACE?}": exit code 1'
    place = str(project.folder / "place")
    (project.folder / "place").mkdir()
    assert project.planit("resume", f"plan.steps.a.slurm.env.PLACE={place}").code == 0
    (row,) = Run(project.run_dir()).results("a")
    assert row.result == ["kept", place, place]
