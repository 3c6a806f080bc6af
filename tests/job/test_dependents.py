"""What can never run because a task of a stage failed, from the record."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit.job.dependents import dependents
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After, Needed


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Three chains first -> train -> check, a side job behind the firsts, a join, and others."""
    run = RunDir.create(tmp_path, "p")
    names = [
        [(f"{name}{i}", f"{name}{i}") for i in range(3)] for name in ("first", "train", "eval")
    ]
    run.stage_dir(1, 0).write(names[0], After())
    run.stage_dir(1, 1).write(names[1], After([("aftercorr", 0)]))
    run.stage_dir(1, 2).write(names[2], After([("aftercorr", 1)]))
    run.stage_dir(1, 3).write([("join", "join")], After([("afterok", 2)]))
    run.stage_dir(1, 4).write([("alone", "alone")], After())
    jobs = {stage: JobRef(None, str(10 + stage)) for stage in range(5)}
    tickets.issue(run.path, 1, jobs, [])
    return run


def ids(run: RunDir, stage: int, index: int, submission: int = 1) -> list[str]:
    return [str(job) for job in dependents(run.path, submission, stage, [index])]


def test_a_task_takes_its_own_branch_and_the_join(run: RunDir) -> None:
    assert ids(run, 0, 1) == ["11_1", "12_1", "13"]
    assert ids(run, 2, 0) == ["13"]
    assert ids(run, 3, 0) == []


def test_an_edge_on_the_whole_array_takes_all_that_is_aligned_behind_it(run: RunDir) -> None:
    run.stage_dir(1, 1).write([("train0", "train0")], After([("afterok", 0)]))
    assert ids(run, 0, 2) == ["11", "12", "13"]


def test_later_submissions_that_wait_for_a_kept_step_are_reached(run: RunDir) -> None:
    kept = [Needed("train1", 1, 1, 1)]
    run.stage_dir(2, 0).write([("join", "join")], After(also=kept))
    tickets.issue(run.path, 2, {0: JobRef("beta", "20")}, ["join"])
    assert ids(run, 0, 1) == ["11_1", "12_1", "13", "20@beta"]
    assert "20@beta" not in ids(run, 0, 0)


def test_a_submission_that_was_taken_back_has_no_jobs(run: RunDir) -> None:
    tickets.revoke(run.path, 1, "refused")
    assert ids(run, 0, 1) == []
