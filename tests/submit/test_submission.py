"""All or nothing: what a submission writes down, and what it takes back."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Parallel, PlanError, SlurmArgs, Step
from planit.errors import SchedulerError, StorageError, SubmissionError
from planit.record import history as histories
from planit.record import index, submissions, tickets
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.submit.new import NewRun
from planit.submit.submission import release
from tests.memory import MemoryScheduler
from tests.runs import ARGS, BETA, a, events, states, submitted

THREE = Chain(a("a"), Parallel(a("b"), a("c")), a("d"))


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


def refused(slurm: MemoryScheduler, base: Path, **more: Any) -> tuple[SubmissionError, RunDir]:
    """A submission that fails; its error and its run."""
    with pytest.raises(SubmissionError) as caught:
        submitted(slurm, base, THREE, **more)
    return caught.value, index.all_runs(base / "runs")[0]


def kinds(run: RunDir) -> list[str]:
    return [event["event"] for event in events(run)]


# A submission that goes well


def test_each_intent_is_written_before_its_call_and_each_id_after_it(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, THREE)
    found = [{k: v for k, v in event.items() if k != "at"} for event in events(run)]
    assert found == [
        {"event": "submission", "number": 1, "host": socket.gethostname(), "pid": os.getpid(),
         "stages": 3},
        {"event": "intent", "number": 1, "stage": 0, "tag": run.tag(1, 0)},
        {"event": "submitted", "number": 1, "stage": 0, "job": "1", "cluster": None},
        {"event": "intent", "number": 1, "stage": 1, "tag": run.tag(1, 1)},
        {"event": "submitted", "number": 1, "stage": 1, "job": "2", "cluster": None},
        {"event": "intent", "number": 1, "stage": 2, "tag": run.tag(1, 2)},
        {"event": "submitted", "number": 1, "stage": 2, "job": "3", "cluster": None},
        {"event": "released", "number": 1},
    ]  # fmt: skip


def test_the_ticket_names_the_jobs_and_the_steps(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, THREE)
    ticket = tickets.read(run.path, 1)
    assert ticket is not None
    assert ticket.jobs == {0: JobRef(None, "1"), 1: JobRef(None, "2"), 2: JobRef(None, "3")}
    assert (set(ticket.steps), ticket.revoked) == ({"a", "b", "c", "d"}, None)


def test_jobs_wait_for_the_jobs_before_them_and_nothing_is_held_in_the_end(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    submitted(slurm, tmp_path, THREE)
    assert slurm.after == {
        JobRef(None, "1"): [],
        JobRef(None, "2"): ["afterok:1"],
        JobRef(None, "3"): ["afterok:2"],
    }
    assert slurm.held() == []
    assert slurm.live() == ["1", "2_0", "2_1", "3"]


def test_all_is_held_until_the_last_job_is_in(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    class Watched(MemoryScheduler):
        def release(self, jobs: Iterable[JobRef]) -> None:
            seen.append(self.held())
            super().release(jobs)

    submitted(Watched(), tmp_path, THREE)
    assert seen == [["1", "2_0", "2_1", "3"]]


def test_progress_is_called_with_done_and_total(slurm: MemoryScheduler, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    submitted(slurm, tmp_path, THREE, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


# A submission that is refused


def test_where_a_stage_is_refused_what_was_in_is_cancelled(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    slurm.refuses = {"d": "sbatch: not today"}
    error, run = refused(slurm, tmp_path)
    assert error.message == "step 'd' was refused: sbatch: not today"
    assert error.hint == "the 2 job(s) before it were cancelled; nothing is left in the queue"
    assert slurm.live() == []
    last = events(run)[-1]
    assert (last["event"], last["number"], last["reason"]) == ("aborted", 1, "sbatch: not today")
    assert last["cancelled"] == ["1", "2"]
    ticket = tickets.read(run.path, 1)
    assert ticket is not None
    assert ticket.revoked == "sbatch: not today"
    assert set(states(run, slurm).values()) == {"NOT_SUBMITTED"}


def test_where_the_first_stage_is_refused_nothing_was_cancelled(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    slurm.refuses = {"a": "no"}
    error, _ = refused(slurm, tmp_path)
    assert (error.message, error.hint) == (
        "step 'a' was refused: no",
        "nothing is left in the queue",
    )


def test_a_job_that_the_scheduler_took_without_telling_is_taken_back_too(tmp_path: Path) -> None:
    class Silent(MemoryScheduler):
        def submit(self, script: Path, **more: Any) -> JobRef:
            job = super().submit(script, **more)
            if job.job_id == "2":
                raise SubmissionError("timed out")
            return job

    slurm = Silent()
    error, run = refused(slurm, tmp_path)
    assert error.message == "step 'b' was refused: timed out"
    assert slurm.live() == []
    assert events(run)[-1]["cancelled"] == ["1", "2"]


def test_what_cannot_be_taken_back_stays_held_and_the_submission_incomplete(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    slurm.refuses = {"d": "no"}
    slurm.stubborn = {JobRef(None, "1"): "still there"}
    error, run = refused(slurm, tmp_path)
    assert error.message == (
        "no; and what was submitted could not be taken back (job 1: still there)"
    )
    assert "planit resume" in str(error.hint)
    assert "aborted" not in kinds(run)
    assert slurm.held() == ["1"]
    ticket = tickets.read(run.path, 1)
    assert ticket is not None
    assert ticket.revoked == "no"


@pytest.mark.parametrize(("cluster", "name"), [(None, "default"), ("beta", "beta")])
def test_a_cluster_that_does_not_answer_leaves_the_submission_incomplete(
    tmp_path: Path, cluster: str | None, name: str
) -> None:
    class Falls(MemoryScheduler):
        def submit(self, script: Path, **more: Any) -> JobRef:
            if len(self.after) == 2:
                self.no_answer[cluster] = "squeue: down"
                raise SubmissionError("no")
            return super().submit(script, **more)

    slurm = Falls()
    root = Parallel(a("x"), a("y", BETA), a("z", SlurmArgs("5", "other")))
    with pytest.raises(SubmissionError) as caught:
        submitted(slurm, tmp_path, root)
    assert f"cluster {name}: squeue: down" in caught.value.message
    run = index.all_runs(tmp_path / "runs")[0]
    assert "aborted" not in kinds(run)
    # the cluster that answers was cleared
    assert slurm.live() == (["1"] if cluster is None else ["2"])


def test_jobs_that_are_not_confirmed_are_taken_back(tmp_path: Path) -> None:
    class Loses(MemoryScheduler):
        def confirm(self, prefix: str, jobs: Mapping[str, JobRef]) -> None:
            assert prefix.endswith(":1.")
            assert [tag.removeprefix(prefix) for tag in jobs] == ["0", "1", "2"]
            self.forget("2")
            super().confirm(prefix, jobs)

    slurm = Loses()
    error, run = refused(slurm, tmp_path)
    assert error.message == "the jobs were not released: job 2 is not there"
    assert error.hint == "the 3 job(s) before it were cancelled; nothing is left in the queue"
    assert slurm.live() == []
    assert kinds(run)[-1] == "aborted"


def test_where_the_release_fails_all_is_taken_back(tmp_path: Path) -> None:
    class Holds(MemoryScheduler):
        def release(self, jobs: Iterable[JobRef]) -> None:
            raise SchedulerError("scontrol: down", hint="wait")

    slurm = Holds()
    error, run = refused(slurm, tmp_path)
    assert error.message == "the jobs were not released: scontrol: down"
    assert str(error.hint).startswith("wait; the 3 job(s)")
    assert (slurm.live(), kinds(run)[-1]) == ([], "aborted")
    assert histories.read(run).released == set()


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), ZeroDivisionError("a bug")])
def test_an_interrupt_or_a_bug_takes_back_and_goes_on_as_it_was(
    tmp_path: Path, interrupt: BaseException
) -> None:
    class Interrupted(MemoryScheduler):
        def submit(self, script: Path, **more: Any) -> JobRef:
            if len(self.after) == 1:
                raise interrupt
            return super().submit(script, **more)

    slurm = Interrupted()
    with pytest.raises(type(interrupt)):
        submitted(slurm, tmp_path, THREE)
    run = index.all_runs(tmp_path / "runs")[0]
    assert slurm.live() == []
    assert events(run)[-1]["reason"] == (str(interrupt) or "KeyboardInterrupt")


# The release


def test_a_ticket_that_was_given_is_not_changed_by_a_second_release(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    before = tickets.path_of(run.path, 1).read_bytes()
    release(run, 1, slurm, {0: JobRef(None, "1")}, ["x"])
    assert tickets.path_of(run.path, 1).read_bytes() == before
    tickets.revoke(run.path, 1, "no")
    release(run, 1, slurm, {0: JobRef(None, "1")}, ["a"])
    assert tickets.read(run.path, 1) == tickets.Ticket({0: JobRef(None, "1")}, frozenset({"a"}))
    assert kinds(run).count("released") == 3


# A new run


def test_what_is_refused_before_the_first_job_leaves_no_trace(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    class Refuses(MemoryScheduler):
        def check(self, *_args: Any) -> None:
            raise PlanError("no such cluster")

    cases: Sequence[tuple[MemoryScheduler, Any, dict[str, Any], str]] = [
        (Refuses(), a("a"), {}, "no such cluster"),
        (slurm, Chain(a("a"), a("a")), {}, "'a'"),
        (slurm, a("a"), {"share": "everybody"}, "share=everybody"),
        (slurm, Chain(a("a"), a("b", BETA)), {}, "beta"),
    ]
    for scheduler, root, more, message in cases:
        with pytest.raises(PlanError, match=message):
            submitted(scheduler, tmp_path, root, **more)
        with pytest.raises(PlanError, match=message):
            NewRun("p", root, tmp_path / "runs", scheduler, **more).check()
    assert not (tmp_path / "runs").exists()
    assert slurm.jobs == {}


def test_a_step_that_cannot_be_pickled_is_named(slurm: MemoryScheduler, tmp_path: Path) -> None:
    with (tmp_path / "x").open("w") as file:
        bad = Step("holds a file", print, ARGS, file=file)
        with pytest.raises(PlanError, match=r"'holds a file'.*cannot be pickled"):
            submitted(slurm, tmp_path, Chain(a("fine"), bad))
    assert not (tmp_path / "runs").exists()


def test_defaults_are_below_what_a_step_sets_itself(slurm: MemoryScheduler, tmp_path: Path) -> None:
    own = {"slurm_time": "7", "slurm_additional_parameters": {"qos": "high"}}
    steps = [Step("a", time.sleep, own, 0), Step("b", time.sleep, {"slurm_time": "7"}, 0)]
    defaults = {
        "partition": "batch",
        "time": "99",
        "additional_parameters": {"qos": "low", "account": "x"},
    }
    run = submitted(slurm, tmp_path, Parallel(*steps), defaults=defaults)
    places = histories.read(run).placements
    a_options, b_options = places["a"].options, places["b"].options
    assert (a_options["partition"], a_options["time"]) == ("batch", "7")
    assert a_options["additional_parameters"] == {"qos": "high", "account": "x"}
    assert b_options["additional_parameters"] == {"qos": "low", "account": "x"}
    assert defaults["additional_parameters"] == {"qos": "low", "account": "x"}


def test_steps_without_a_cluster_go_to_the_default_one_of_the_site(tmp_path: Path) -> None:
    slurm = MemoryScheduler(cluster="alpha")
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b", BETA)))
    places = histories.read(run).placements
    assert (places["a"].cluster, places["b"].cluster) == ("alpha", "beta")
    assert places["a"].options["additional_parameters"] == {"clusters": "alpha"}


def test_the_returned_jobs_are_in_the_order_of_the_plan(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run, jobs = NewRun("p", THREE, tmp_path, slurm).start()
    assert [job.job_id for job in jobs] == ["1", "2_0", "2_1", "3"]
    assert [job.paths.folder for job in jobs] == [
        run.path / "stages" / name for name in ("1.0", "1.1", "1.1", "1.2")
    ]


def test_what_a_run_leaves_before_its_first_job(slurm: MemoryScheduler, tmp_path: Path) -> None:
    left: dict[str, Any] = {}

    class Looks(MemoryScheduler):
        def submit(self, script: Path, **more: Any) -> JobRef:
            run = RunDir(script.parents[2])
            left.setdefault("files", sorted(path.name for path in run.path.iterdir()))
            left.setdefault("submission", submissions.path_of(run.path, 1).exists())
            left.setdefault("calls", sorted(p.parent.name for p in run.path.rglob("calls")))
            left.setdefault("steps", list(run.path.glob("steps/*")))
            return super().submit(script, **more)

    run = submitted(Looks(), tmp_path, THREE, source={"command_line": ["x"]})
    assert "manifest.json" in left["files"]
    assert left["submission"]
    assert left["calls"] == ["1.0", "1.1", "1.2"]
    assert left["steps"] == []  # nothing for each step
    assert (run.manifest["run"], run.manifest["plan"]) == (run.run_id, "p")
    assert run.manifest["command_line"] == ["x"]
    assert not (run.path / "lock").exists()


def test_a_disk_that_fills_up_takes_everything_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fills(MemoryScheduler):
        def submit(self, script: Path, **more: Any) -> JobRef:
            if self.next_id == 2:
                monkeypatch.setattr(os, "fsync", full)
            return super().submit(script, **more)

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    slurm = Fills()
    with pytest.raises(StorageError, match="No space left on device"):
        submitted(slurm, tmp_path, THREE)
    assert {view.state for view in slurm.jobs.values()} == {"CANCELLED"}
    assert not (tmp_path / "runs").exists()
