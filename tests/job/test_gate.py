"""Whether a job may run its step, from records as they may be found on a network file system."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from planit.job import gate
from planit.job.gate import BlockedError, NotOfRecordError, Place
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.markers import EndMarker, Outcome, StartMarker
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After, Needed
from planit.record.task_files import TaskFiles

JOB = JobRef(None, "12")


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """Two chains first -> train, stacked, and a join behind them, all released."""
    run = RunDir.create(tmp_path, "p")
    run.stage_dir(1, 0).write([("first0", "first0"), ("first1", "first1")], After())
    run.stage_dir(1, 1).write(
        [("train0", "train0"), ("train1", "train1")], After([("aftercorr", 0)])
    )
    run.stage_dir(1, 2).write([("join", "join")], After([("afterok", 1)]))
    jobs = {0: JobRef(None, "10"), 1: JOB, 2: JobRef(None, "14")}
    tickets.issue(run.path, 1, jobs, ["first0", "first1", "train0", "train1", "join"])
    return run


def train(run: RunDir, index: int = 0) -> Place:
    return Place(run.path, 1, 1, index, f"train{index}", JOB)


def join(run: RunDir) -> Place:
    return Place(run.path, 1, 2, None, "join", JobRef(None, "14"))


STAGES = {"first": 0, "train": 1}


def ended(run: RunDir, name: str, outcome: str, attempt: str = "1.0") -> None:
    """A record of task 0 or 1 of the stage by which the name begins."""
    submission, restart = map(int, attempt.split("."))
    stage = STAGES[name[:-1]] if submission == 1 else 0
    files = TaskFiles(run.path, submission, stage, int(name[-1]))
    files.folder.mkdir(parents=True, exist_ok=True)
    files.write_start(restart, StartMarker(started=1.0))
    if outcome != "running":
        files.write_end(restart, EndMarker(Outcome(outcome), started=1.0))


def test_a_task_of_an_array_needs_only_the_parent_of_its_own_branch(run: RunDir) -> None:
    ended(run, "first0", "succeeded")
    ended(run, "first1", "failed")
    gate.check(train(run, 0), 0)
    with pytest.raises(BlockedError, match="first1 failed"):
        gate.check(train(run, 1), 0)


def test_a_join_needs_every_branch(run: RunDir) -> None:
    ended(run, "train0", "succeeded")
    ended(run, "train1", "succeeded")
    gate.check(join(run), 0)
    ended(run, "train1", "killed")
    with pytest.raises(BlockedError, match="train1 killed"):
        gate.check(join(run), 0)


@pytest.mark.parametrize("outcome", ["failed", "terminated", "killed", "blocked"])
def test_a_parent_that_did_not_succeed_blocks_without_waiting(run: RunDir, outcome: str) -> None:
    ended(run, "first0", outcome)
    began = time.monotonic()
    with pytest.raises(BlockedError, match=f"first0 {outcome}"):
        gate.check(train(run), 60)
    assert time.monotonic() - began < 5


def test_a_marker_that_is_late_is_waited_for(run: RunDir) -> None:
    late = threading.Timer(0.5, ended, (run, "first0", "succeeded"))
    late.start()
    began = time.monotonic()
    gate.check(train(run), 30)
    assert 0.4 < time.monotonic() - began < 20


@pytest.mark.parametrize("state", ["nothing", "running", "requeued"])
def test_a_parent_without_an_end_blocks_after_the_limit(run: RunDir, state: str) -> None:
    if state != "nothing":
        ended(run, "first0", state)
    with pytest.raises(BlockedError, match=r"first0 left no end marker within 0\.2 s"):
        gate.check(train(run), 0.2)


def test_a_parent_that_never_ran_because_of_a_failure_blocks_without_waiting(run: RunDir) -> None:
    ended(run, "train0", "succeeded")
    ended(run, "first1", "failed")  # Slurm cancelled train1, and has forgotten it
    began = time.monotonic()
    with pytest.raises(BlockedError, match="first1 failed, so train1 never ran"):
        gate.check(join(run), 60)
    assert time.monotonic() - began < 5


def test_the_newest_attempt_of_a_requeued_parent_counts(run: RunDir) -> None:
    ended(run, "first0", "requeued", "1.0")
    ended(run, "first0", "succeeded", "1.1")
    gate.check(train(run), 0)
    ended(run, "first0", "succeeded", "1.0")
    ended(run, "first0", "failed", "1.1")
    with pytest.raises(BlockedError, match="first0 failed"):
        gate.check(train(run), 0)
    ended(run, "first0", "succeeded", "1.3")  # 1.2 was requeued before it left anything
    gate.check(train(run), 0)


def test_a_rerun_parent_counts_by_its_newest_submission(run: RunDir) -> None:
    ended(run, "first0", "succeeded", "1.0")
    run.stage_dir(2, 0).write([("first0", "first0")], After())
    run.stage_dir(2, 1).write([("train0", "train0")], After([("afterok", 0)]))
    jobs = {0: JobRef(None, "20"), 1: JobRef(None, "21")}
    tickets.issue(run.path, 2, jobs, ["first0", "train0"])
    again = Place(run.path, 2, 1, None, "train0", JobRef(None, "21"))
    with pytest.raises(BlockedError, match="first0 left no end marker"):
        gate.check(again, 0)
    ended(run, "first0", "succeeded", "2.0")
    gate.check(again, 0)


def test_a_kept_parent_counts_by_the_submission_that_it_was_in(run: RunDir) -> None:
    also = [Needed("train0", 1, 1, 0)]
    run.stage_dir(2, 0).write([("join", "join")], After(also=also))
    tickets.issue(run.path, 2, {0: JobRef(None, "20")}, ["join"])
    again = Place(run.path, 2, 0, None, "join", JobRef(None, "20"))
    ended(run, "first0", "failed")
    with pytest.raises(BlockedError, match="first0 failed, so train0 never ran"):
        gate.check(again, 60)
    ended(run, "train0", "succeeded")
    gate.check(again, 0)


def test_a_job_that_is_not_of_record_does_not_run(run: RunDir) -> None:
    ended(run, "first0", "succeeded")
    with pytest.raises(NotOfRecordError, match="the job of this step is 12, and this is 13"):
        gate.check(replace(train(run), job=JobRef(None, "13")), 0)
    with pytest.raises(NotOfRecordError):
        gate.check(replace(train(run), stage=7), 0)


def test_the_same_number_on_another_cluster_is_another_job(run: RunDir) -> None:
    ended(run, "first0", "succeeded")
    tickets.issue(run.path, 1, {1: JobRef("beta", "12")}, ["train0"])
    gate.check(replace(train(run), job=JobRef("beta", "12")), 0)
    with pytest.raises(NotOfRecordError):
        gate.check(replace(train(run), job=JobRef("alpha", "12")), 0)


def test_nothing_runs_before_the_release_nor_after_it_was_taken_back(run: RunDir) -> None:
    ended(run, "first0", "succeeded")
    tickets.revoke(run.path, 1, "sbatch refused a step")
    with pytest.raises(NotOfRecordError, match="taken back: sbatch refused a step"):
        gate.check(train(run), 60)
    tickets.path_of(run.path, 1).unlink()
    with pytest.raises(NotOfRecordError, match="never released"):
        gate.check(train(run), 0.1)


def test_a_step_that_was_submitted_again_does_not_run_from_the_earlier_submission(
    run: RunDir,
) -> None:
    ended(run, "first0", "succeeded")
    ended(run, "first1", "succeeded")
    tickets.issue(run.path, 2, {0: JobRef(None, "20")}, ["train0"])
    tickets.issue(run.path, 3, {0: JobRef(None, "30")}, ["join"])
    with pytest.raises(NotOfRecordError, match="submitted again, in submission 2"):
        gate.check(train(run, 0), 0)
    gate.check(train(run, 1), 0)
    tickets.revoke(run.path, 2, "refused")
    gate.check(train(run, 0), 0)
