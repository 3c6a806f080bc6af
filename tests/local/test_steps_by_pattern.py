"""Verbs that take steps by pattern, and ``planit show``, on a real sweep on this machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml

from tests.helpers import Done, planit_here
from tests.local.project import Project, submit_sweep

PLAN = """\
_target_: planit.Plan
name: train
steps:
  train: {func: mine.train, slurm_args: "${cpu}", lr: "${lr}", seed: "${seed}", sizes: [1, 2]}
  compare: {func: mine.compare, slurm_args: "${cpu}"}
  score: {_target_: planit.Command, command: "true", slurm_args: "${cpu}"}
root: {_target_: planit.Chain, _args_: [train, score, compare]}
"""
MODULE = """\
def train(lr, seed, sizes):
    for line in range(30):
        print("line", line)
    if seed:
        raise ValueError("unlucky")
    return {"accuracy": lr}

def compare():
    pass
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Four branches, two of which failed; a step is called like the plan."""
    project, done = submit_sweep(tmp_path_factory.mktemp("patterns"), PLAN, MODULE, "0.1,0.5")
    assert done.code == 1, done
    yield project
    project.clean()


def here(project: Project, *words: str) -> Done:
    return planit_here(*words, cwd=project.folder)


def said(project: Project, word: str, count: int) -> str:
    return f"{word}: {count} step(s) of run {project.run_dir().name}\n"


def test_logs_of_a_pattern_say_how_many_and_head_each(swept: Project) -> None:
    done = here(swept, "logs", "train[*seed=0]")
    assert (done.code, done.err) == (0, said(swept, "train[*seed=0]", 2))
    assert done.out.count("---\n") == 2
    assert done.out.count("line 0\n") == 2


def test_logs_without_a_step_show_the_ends_of_the_failed_ones(swept: Project) -> None:
    done = here(swept, "logs")
    assert done.out.count("---\n") == 2
    assert "--- train[lr=0.1,seed=1] ---" in done.out
    assert done.out.count("ValueError: unlucky") == 2
    assert "line 0\n" not in done.out
    assert len(here(swept, "logs", "--tail", "1").out.splitlines()) == 4


def test_cancel_and_resume_take_all_branches_of_the_latest_run_not_the_plan(swept: Project) -> None:
    done = here(swept, "cancel", "train")
    assert (done.code, done.err) == (0, said(swept, "train", 4))
    assert done.out.startswith("Nothing to cancel in run ")
    for option, lines in (("--only", 4), ("--from", 9)):
        done = here(swept, "resume", "--dry-run", option, "train")
        assert (done.code, done.err) == (0, said(swept, "train", 4))
        assert done.out.count("rerun  ") == lines
    wrong = here(swept, "resume", "--dry-run", "--only", "train[lr=9*]")
    assert wrong.code == 5
    assert "no step 'train[lr=9*]' in this run" in wrong.err


def test_results_take_a_pattern(swept: Project) -> None:
    done = here(swept, "results", "train[lr=0.1*]", "--csv")
    assert [line.split(",")[0] for line in done.out.splitlines()[1:]] == ['"train[lr=0.1'] * 2


def test_show_has_all_of_a_step_that_is_done(swept: Project) -> None:
    done = here(swept, "show", "train[lr=0.1,seed=0]")
    assert (done.code, done.err) == (0, "")
    run = swept.run_dir()
    for text in (
        f"train[lr=0.1,seed=0] of run {run.name}",
        "DONE",
        "mine.train",
        "lr = 0.1",
        "lr=0.1, seed=0",
        "cpus_per_task=1",
        "elapsed",
        "memory at its peak",
        "succeeded, exit code 0",
        '{"accuracy": 0.1}',
        f"{run}/stages/",
        "script.sh",
        ".log",
        f"{run}/steps/",
    ):
        assert text in done.out, text


def test_show_has_the_parents_and_the_error(swept: Project) -> None:
    failed = here(swept, "show", "train[lr=0.1,seed=1]").out
    assert "failed, exit code 1" in failed
    assert failed.endswith("  ValueError: unlucky\n")
    blocked = here(swept, "show", "score[lr=0.1,seed=1]").out
    assert "train[lr=0.1,seed=1]  FAILED" in blocked
    assert "command" in blocked


def test_show_of_several_steps_is_refused_with_their_names(swept: Project) -> None:
    done = here(swept, "show", "train")
    assert done.code == 5
    assert "'train' means 4 steps of run" in done.err
    assert "train[lr=0.1,seed=0], " in done.err
    assert here(swept, "show").code == 2
    assert "no step 'tra'" in here(swept, "show", "tra").err


def test_config_is_the_frozen_configuration_as_yaml(swept: Project) -> None:
    done = here(swept, "show", "--config", "train[lr=0.5,seed=1]")
    assert yaml.safe_load(done.out) == {
        "func": "mine.train",
        "args": [],
        "kwargs": {"lr": 0.5, "seed": 1, "sizes": [1, 2]},
        "values": {"lr": 0.5, "seed": 1},
    }
    assert yaml.safe_load(here(swept, "show", "--config", "score[lr=0.5,seed=1]").out)["command"]
