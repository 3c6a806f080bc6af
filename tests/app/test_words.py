"""``[RUN] [STEP...]``: what the words after a verb mean, and what they never mean."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import submitit

from planit import Plan, Run, Step
from tests.helpers import CPU
from tests.local.project import Project, ended, wait_for_lines


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """The plans `train` and `train_big`, each with a step `prep` that waits and one more."""
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder)
    waits = {"func": "until", "flag": "go"}
    made.plan(
        {"prep": waits, "fit": waits},
        {"_target_": "planit.Parallel", "_args_": ["prep", "fit"]},
        "train",
    )
    made.plan(
        {"prep": waits, "big": waits},
        {"_target_": "planit.Parallel", "_args_": ["prep", "big"]},
        "train_big",
    )
    try:
        yield made
    finally:
        made.clean()


def begin(project: Project, *plans: str) -> list[str]:
    """Begin a run of each plan in the background, at once; their ids, by plan and then age."""
    started = [project.submit("--detach", "backend.cpus=8", name=plan) for plan in plans]
    for process in started:
        assert ended(process).code == 0
    wait_for_lines(project, "begun", 2 * len(plans))
    return [path.name for path in sorted(project.folder.glob("planit_runs/*/*"))]


def test_cancel_never_takes_the_run_of_a_plan_whose_name_only_begins_so(project: Project) -> None:
    (big,) = begin(project, "train_big")
    for word in ("train", "trai", "train_"):
        done = project.planit("cancel", word)
        assert done.code == 5
        assert done.err.startswith(
            f"planit: error: no step {word!r} in the latest run {big}, and no run {word!r}\n"
        )
    assert "did you mean train_big? " in project.planit("cancel", "train_bi").err
    assert set(project.states().values()) == {"RUNNING"}
    assert f"of run {big}: prep, big" in project.planit("cancel", "train_big").out


def test_a_plans_exact_name_is_its_run_also_when_another_is_later(project: Project) -> None:
    (train,) = begin(project, "train")
    begin(project, "train_big")
    assert f"of run {train}: prep, fit" in project.planit("cancel", "train").out
    assert set(project.states("train").values()) == {"CANCELLED"}
    assert set(project.states("train_big").values()) == {"RUNNING"}


def test_steps_are_of_the_latest_run_unless_the_first_word_is_a_run(project: Project) -> None:
    (train,) = begin(project, "train")
    _, big = begin(project, "train_big")
    assert f"of run {train}: fit" in project.planit("cancel", "train", "fit").out
    assert f"of run {big}: prep" in project.planit("cancel", "prep").out
    assert project.states("train") == {"prep": "RUNNING", "fit": "CANCELLED"}
    assert project.states("train_big") == {"prep": "CANCELLED", "big": "RUNNING"}
    for words, says in (
        (["fit"], "no step 'fit' in the latest run"),
        (["prep", "bgi"], "no step 'bgi' in the latest run"),
        (["train", "big"], "no step 'big' in this run"),
        (["prep", "train"], "no step 'train' in the latest run"),
    ):
        done = project.planit("cancel", *words)
        assert done.code == 5, words
        assert done.err.startswith(f"planit: error: {says}")
        assert len(done.err.splitlines()) == 2
    assert "did you mean big? " in project.planit("cancel", "prep", "bgi").err
    assert project.states("train_big") == {"prep": "CANCELLED", "big": "RUNNING"}


def test_a_step_called_like_a_plan_is_the_latest_runs(project: Project) -> None:
    waits = {"func": "until", "flag": "go"}
    project.plan(
        {"train": waits, "b": waits},
        {"_target_": "planit.Parallel", "_args_": ["train", "b"]},
        "other",
    )
    begin(project, "train")
    begin(project, "other")
    assert "Cancelled 1 step(s)" in project.planit("cancel", "train").out
    assert project.states("other") == {"train": "CANCELLED", "b": "RUNNING"}
    assert set(project.states("train").values()) == {"RUNNING"}


def test_a_part_of_an_id_is_enough_for_every_verb(project: Project) -> None:
    (run,) = begin(project, "train")
    for verb in ("cancel", "resume"):
        assert project.planit(verb, "").code == 5
        assert project.planit(verb, run[-3:]).code == 5
    assert set(project.states(run[:-1]).values()) == {"RUNNING"}
    assert "waiting for a file" in project.planit("logs", run[:8], "fit").out
    assert project.planit("resume", "--dry-run", run).code == 0
    (project.folder / "go").touch()
    assert project.planit("wait", run[:8]).code == 0
    for word in (f"train/{run}", f"planit_runs/train/{run}", run):
        assert f"Nothing to rerun in run {run}" in project.planit("resume", word).out


def test_the_latest_of_runs_that_begin_in_one_second_is_the_last_to_begin(
    tmp_path: Path,
) -> None:
    executor = submitit.LocalExecutor(folder=tmp_path)
    plans = [Plan(f"p{i % 2}", Step("s", os.getcwd, CPU)) for i in range(8)]
    for plan in plans:
        plan.submit(executor, local={"cpus": 8})
        assert plan.run is not None
        assert Run.open(base=tmp_path).path == plan.run.path
    for plan in plans:
        plan.wait()
