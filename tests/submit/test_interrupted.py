"""What an interrupted submission left: finished by a resume, cleared away by a cancel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from planit import Chain
from planit.backends.base import Tagged
from planit.errors import RunError, SchedulerError
from planit.record import submissions, tickets
from planit.record.jobs import JobRef, JobView
from planit.record.run_dir import RunDir
from planit.submit.interrupted import STOPPED, clear_strays, finish_interrupted, refuse_unreadable
from tests.memory import HELD, MemoryScheduler
from tests.runs import (
    BETA,
    a,
    begin,
    events,
    history,
    kept_events,
    killed_before_release,
    submitted,
)

TWO = Chain(a("a"), a("b"))


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def run(slurm: MemoryScheduler, tmp_path: Path) -> RunDir:
    """A run that was killed before its release."""
    run = submitted(slurm, tmp_path, TWO)
    killed_before_release(run, slurm)
    return run


def finished(run: RunDir, slurm: MemoryScheduler, *, finish: bool) -> str:
    """The last event after it was dealt with."""
    left = finish_interrupted(run, history(run), slurm, finish=finish)
    assert not left.incomplete
    return str(events(run)[-1]["event"])


def without_the_last_job(run: RunDir, slurm: MemoryScheduler) -> None:
    """As if it had been killed before the sbatch call of its second stage."""
    kept_events(run, lambda e: e["event"] == "submission" or e.get("stage") == 0)
    slurm.forget("2", account=False)


def stray(slurm: MemoryScheduler, run: RunDir, key: str, tag: str, state: str = "PENDING") -> None:
    slurm.jobs[None, key] = JobView(key, state, reason=HELD, comment=run.tag_prefix() + tag)
    slurm.after.setdefault(JobRef(None, key.partition("_")[0]), [])


def test_what_is_all_in_is_released_on_a_resume(slurm: MemoryScheduler, run: RunDir) -> None:
    assert finished(run, slurm, finish=True) == "released"
    assert slurm.held() == []
    ticket = tickets.read(run.path, 1)
    assert ticket == tickets.Ticket(
        {0: JobRef(None, "1"), 1: JobRef(None, "2")}, frozenset({"a", "b"})
    )


def test_what_is_all_in_is_cleared_on_a_cancel(slurm: MemoryScheduler, run: RunDir) -> None:
    assert finished(run, slurm, finish=False) == "aborted"
    assert slurm.live() == []
    last = events(run)[-1]
    assert (last["reason"], last["cancelled"]) == (STOPPED, ["1", "2"])
    assert tickets.read(run.path, 1) == tickets.Ticket(revoked=STOPPED)


def test_what_is_not_all_in_is_cleared_on_a_resume(slurm: MemoryScheduler, run: RunDir) -> None:
    without_the_last_job(run, slurm)
    assert finished(run, slurm, finish=True) == "aborted"
    assert slurm.live() == []
    assert events(run)[-1]["cancelled"] == ["1"]


def test_a_submission_that_is_whole_is_left_as_it_is(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    before = history(run)
    assert finish_interrupted(run, before, slurm, finish=False) is before
    assert slurm.live() == ["1", "2"]


def test_a_job_whose_id_was_never_written_down_is_found_by_its_tag(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    kept_events(run, lambda e: e["event"] != "submitted" or e["stage"] == 0)
    assert finished(run, slurm, finish=True) == "released"
    assert history(run).jobs == {(1, 0): JobRef(None, "1"), (1, 1): JobRef(None, "2")}
    written = [event for event in events(run) if event.get("job") == "2"]
    assert [(e["event"], e["number"], e["stage"]) for e in written] == [("submitted", 1, 1)]


def test_a_second_job_of_a_stage_is_cancelled_before_the_release(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    stray(slurm, run, "7", "1.1")
    stray(slurm, run, "8", "1.1", "CANCELLED")
    assert finished(run, slurm, finish=True) == "released"
    assert slurm.live() == ["1", "2"]


def test_a_job_of_the_journal_that_is_gone_is_not_replaced_by_another(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    slurm.set("2", "CANCELLED")
    stray(slurm, run, "7", "1.1")
    assert finished(run, slurm, finish=True) == "aborted"
    assert slurm.live() == []


def test_jobs_of_another_submission_and_run_are_left_alone(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    stray(slurm, run, "7", "11.1")
    slurm.jobs[None, "8"] = JobView("8", "PENDING", comment="planit:other:1.0")
    finished(run, slurm, finish=False)
    assert slurm.live() == ["7", "8"]


def test_what_runs_already_goes_on_even_on_a_cancel(slurm: MemoryScheduler, run: RunDir) -> None:
    begin(run, "a")
    slurm.set("1", "RUNNING")
    assert finished(run, slurm, finish=False) == "released"
    assert slurm.live() == ["1", "2"]
    assert slurm.held() == []


def test_what_begins_to_run_while_it_is_cleared_is_not_called_taken_back(run: RunDir) -> None:
    class Starts(MemoryScheduler):
        def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
            begin(run, "a")
            return super().cancel(jobs)

    assert finished(run, Starts(), finish=False) == "released"


def test_without_an_answer_nothing_is_finished_nor_called_taken_back(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    slurm.no_answer = {None: "squeue: down"}
    for finish in (True, False):
        with pytest.raises(SchedulerError, match="cannot tell what is in the queue: squeue: down"):
            finish_interrupted(run, history(run), slurm, finish=finish)
        assert history(run).incomplete
    begin(run, "a")
    with pytest.raises(SchedulerError, match="squeue: down"):
        finish_interrupted(run, history(run), slurm, finish=True)
    assert [event["event"] for event in events(run)].count("released") == 0


def test_what_cannot_be_cancelled_leaves_it_incomplete(slurm: MemoryScheduler, run: RunDir) -> None:
    slurm.stubborn = {JobRef(None, "2"): "still there"}
    with pytest.raises(SchedulerError, match="2: still there"):
        finish_interrupted(run, history(run), slurm, finish=False)
    assert history(run).incomplete
    ticket = tickets.read(run.path, 1)
    assert ticket is not None
    assert ticket.revoked == STOPPED


def test_jobs_are_looked_for_on_every_cluster_of_the_submission(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("far", BETA))
    kept_events(run, lambda event: event["event"] == "submission")
    assert finished(run, slurm, finish=True) == "released"
    assert history(run).jobs == {(1, 0): JobRef("beta", "1")}


# Stray jobs


def test_jobs_that_no_step_is_in_are_cleared(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TWO)
    stray(slurm, run, "7_1", "1.0")
    stray(slurm, run, "8", "2.0", "COMPLETED")
    assert clear_strays(run, history(run), slurm) == (JobRef(None, "7"),)
    assert slurm.live() == ["1", "2"]
    assert clear_strays(run, history(run), slurm) == ()


def test_jobs_of_what_was_taken_back_are_strays(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TWO)
    run.journal.append("aborted", number=1, reason="x")
    assert clear_strays(run, history(run), slurm) == (JobRef(None, "1"), JobRef(None, "2"))
    assert slurm.live() == []


def test_strays_are_looked_for_on_the_default_cluster_where_nothing_is_known(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    submissions.path_of(run.path, 1).unlink()
    run.journal.path.write_text("")
    assert {job.job_id for job in clear_strays(run, history(run), slurm)} == {"1", "2"}


def test_what_cannot_be_asked_or_cancelled_is_an_error(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    stray(slurm, run, "7", "1.0")
    slurm.stubborn = {JobRef(None, "7"): "still there"}
    with pytest.raises(SchedulerError, match="7: still there"):
        clear_strays(run, history(run), slurm)
    slurm.no_answer = {None: "down"}
    with pytest.raises(SchedulerError, match="down"):
        clear_strays(run, history(run), slurm)


def test_a_cluster_that_answers_is_cleared_whatever_another_says(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Chain(a("far", BETA)))
    slurm.jobs["beta", "9"] = replace(slurm.jobs["beta", "1"], key="9")

    class Half(MemoryScheduler):
        def tagged(self, prefix: str, clusters: Iterable[str | None]) -> Tagged:
            found = super().tagged(prefix, clusters)
            return Tagged(found.jobs, {"gamma": "down"})

    half = Half(jobs=slurm.jobs)
    with pytest.raises(SchedulerError, match="down"):
        clear_strays(run, history(run), half)
    assert half.live() == ["1"]


# Submissions that cannot be read


def test_a_submission_that_cannot_be_read_is_refused_by_its_file(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    refuse_unreadable(run, history(run))
    submissions.path_of(run.path, 1).write_text("{")
    with pytest.raises(RunError, match=r"submissions/1.json cannot be read") as caught:
        refuse_unreadable(run, history(run))
    assert "planit cancel" in str(caught.value.hint)


def test_an_incomplete_submission_without_a_single_job_that_cannot_be_read_is_refused(
    slurm: MemoryScheduler, run: RunDir
) -> None:
    kept_events(run, lambda event: event["event"] == "submission")
    refuse_unreadable(run, history(run))
    submissions.path_of(run.path, 1).write_text('{"stages": 3}')
    with pytest.raises(RunError, match="cannot be read"):
        refuse_unreadable(run, history(run))


def test_what_cannot_be_read_is_cleared_by_its_tags(slurm: MemoryScheduler, run: RunDir) -> None:
    submissions.path_of(run.path, 1).unlink()
    assert finished(run, slurm, finish=True) == "aborted"
    assert slurm.live() == []
