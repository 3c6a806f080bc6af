"""What is collected of a run: who is asked for what, how often, and what each of them tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Node, Parallel, Sweep
from planit.errors import RunError
from planit.record import submissions
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.status.cache import CachedStates
from planit.status.collect import Collected, collect
from planit.status.decide import LOST_AFTER_S
from planit.status.evidence import Answer
from planit.status.states import State
from planit.submit.resumption import Resume
from tests.memory import MemoryScheduler
from tests.runs import (
    ARGS,
    BETA,
    a,
    begin,
    end,
    files_of,
    history,
    kept_events,
    killed_before_release,
    states,
    status,
    submitted,
)

TWO = Chain(a("a"), a("b"))


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time now, for a test to change."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def collected(run: RunDir, slurm: MemoryScheduler, *, ask_all: bool = False) -> Collected:
    return collect(run, slurm, history(run), CachedStates(run), ask_all=ask_all)


def asked(slurm: MemoryScheduler) -> dict[tuple[str, str | None], int]:
    """The questions since the last time."""
    found = {call: count for call, count in slurm.calls.items() if call[0] != "check"}
    slurm.calls.clear()
    return found


def cached(run: RunDir) -> dict[str, dict[str, Any]]:
    content: dict[str, dict[str, Any]] = json.loads((run.path / "states.json").read_text())["steps"]
    return content


# Who is asked


def test_each_cluster_is_asked_once_however_many_steps_there_are(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    root = Parallel(*(a(f"a{i}") for i in range(5)), *(a(f"b{i}", BETA) for i in range(5)))
    run = submitted(slurm, tmp_path, root)
    assert set(states(run, slurm).values()) == {"PENDING"}
    assert asked(slurm) == {("queue", None): 1, ("queue", "beta"): 1}


def test_the_accounting_is_asked_once_for_what_the_queue_has_forgotten(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b"), a("c", BETA)))
    for key in ("1_0", "1_1"):
        slurm.set(key, "FAILED")
    slurm.forget("1")
    assert states(run, slurm) == {"a": "FAILED", "b": "FAILED", "c": "PENDING"}
    assert asked(slurm) == {("queue", None): 1, ("accounting", None): 1, ("queue", "beta"): 1}


def test_what_succeeded_by_its_marker_is_not_asked_for(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    end(run, "a")
    end(run, "b")
    assert states(run, slurm) == {"a": "DONE", "b": "DONE"}
    assert asked(slurm) == {}


def test_the_second_status_of_an_ended_run_asks_nobody(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Chain(a("done"), a("bad"), a("killed"), a("behind")))
    end(run, "done")
    end(run, "bad", "failed", "broken")
    begin(run, "killed")
    ends = {"1": "COMPLETED", "2": "FAILED", "3": "TIMEOUT", "4": "CANCELLED"}
    for key, state in ends.items():
        slurm.set(key, state)
        slurm.forget(key)
    first = status(run, slurm)
    assert asked(slurm) == {("queue", None): 1, ("accounting", None): 1}
    assert status(run, slurm) == first
    assert asked(slurm) == {}
    assert states(run, slurm) == {
        "done": "DONE",
        "bad": "FAILED",
        "killed": "TIMEOUT",
        "behind": "BLOCKED",
    }


def test_what_failed_is_asked_for_as_long_as_it_could_be_requeued_by_hand(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(run, "a", "failed", "broken")
    slurm.set("1", "FAILED")
    assert [states(run, slurm)["a"] for _ in range(2)] == ["FAILED", "FAILED"]
    assert asked(slurm) == {("queue", None): 2}
    slurm.set("1", "PENDING")
    assert states(run, slurm) == {"a": "PENDING"}


def test_what_is_known_for_good_is_asked_for_again_after_another_start(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(run, "a", "failed", "broken")
    slurm.set("1", "FAILED")
    slurm.forget("1")
    states(run, slurm)
    asked(slurm)
    begin(run, "a", restart=1)
    assert states(run, slurm) == {"a": "FAILED"}
    assert asked(slurm) == {("queue", None): 1, ("accounting", None): 1}


def test_all_are_asked_for_on_demand(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TWO)
    end(run, "a")
    end(run, "b", "failed", "broken")
    slurm.set("2", "FAILED")
    slurm.forget("2")
    states(run, slurm)
    asked(slurm)
    slurm.set("1", "PENDING")  # requeued by hand
    again = status(run, slurm, ask_all=True)
    assert asked(slurm) == {("queue", None): 1, ("accounting", None): 1}
    assert [step.state for step in again.steps] == [State.PENDING, State.FAILED]


def test_what_was_lost_is_asked_for_again(
    slurm: MemoryScheduler, tmp_path: Path, clock: list[float]
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    job = dict(slurm.jobs)
    slurm.forget("1", account=False)
    states(run, slurm)
    clock[0] += LOST_AFTER_S
    assert states(run, slurm) == {"a": "LOST"}
    slurm.jobs = job
    assert states(run, slurm) == {"a": "PENDING"}


def test_what_was_taken_back_is_not_asked_for(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    run.journal.append("aborted", number=1, reason="not\x1b[2Jtoday")
    (one,) = status(run, slurm, ask_all=True).steps
    assert (one.state, one.job) == (State.NOT_SUBMITTED, None)
    assert one.cause == "the submission was taken back: not\N{REPLACEMENT CHARACTER}[2Jtoday"
    assert asked(slurm) == {}


# What each of them tells


def test_the_evidence_of_a_waiting_step(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TWO)
    found = collected(run, slurm)
    first = found.evidence["a"]
    assert list(found.evidence) == ["a", "b"]
    assert (first.answer, first.view) == (Answer.QUEUED, slurm.jobs[None, "1"])
    assert (first.submitted, first.has_job, first.started, first.starts) == (True, True, False, 0)
    assert (first.outcome, first.missing_s, first.last) == (None, 0.0, None)
    assert not first.cancelled
    assert not found.records.any_of(1)
    assert found.problems == ()


def test_the_evidence_of_a_step_that_runs_for_the_second_time(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    end(run, "a", "requeued")
    begin(run, "a", restart=1)
    slurm.set("1", "RUNNING", elapsed_s=7, node="n1")
    found = collected(run, slurm)
    first = found.evidence["a"]
    assert (first.started, first.starts, first.outcome, first.end) == (True, 2, None, None)
    assert found.records.any_of(1)
    one = status(run, slurm).step("a")
    assert (one.attempt, one.elapsed_s, one.node, one.requested_s) == (2, 7, "n1", 3600.0)


def test_markers_of_an_earlier_submission_say_nothing_of_the_newest(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(run, "a", "failed", "broken")
    slurm.set("1", "FAILED")
    Resume(run, slurm).execute()
    first = collected(run, slurm).evidence["a"]
    assert (first.started, first.starts, first.outcome) == (False, 1, None)
    assert states(run, slurm) == {"a": "PENDING"}


def test_an_end_marker_without_a_start_is_an_end(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(run, "a", "blocked", "prep failed", kind="Blocked", started=None)
    slurm.set("1", "FAILED", elapsed_s=99, node="n9")
    first = collected(run, slurm).evidence["a"]
    assert (first.started, first.outcome) == (False, "blocked")
    one = status(run, slurm).step("a")
    assert (one.state, one.cause, one.elapsed_s, one.node) == (
        State.BLOCKED, "prep failed", 5.0, "h1",
    )  # fmt: skip


def test_a_step_that_ends_while_the_queue_is_asked_has_ended(tmp_path: Path) -> None:
    class Ends(MemoryScheduler):
        def queue(self, cluster: str | None) -> Any:
            end(run, "a", "failed", "just now")
            self.set("1", "FAILED")
            return super().queue(cluster)

    slurm = Ends()
    run = submitted(slurm, tmp_path, a("a"))
    begin(run, "a")
    one = status(run, slurm).step("a")
    assert (one.state, one.cause) == (State.FAILED, "ValueError: just now")


def test_where_a_cluster_does_not_answer_the_last_state_is_shown_as_stale(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b", BETA)))
    slurm.set("1", "RUNNING")
    slurm.set("2", "RUNNING", "beta")
    states(run, slurm)
    slurm.no_answer[None] = "squeue: down"
    found = status(run, slurm)
    assert [(step.state, step.stale) for step in found.steps] == [
        (State.RUNNING, True),
        (State.RUNNING, False),
    ]
    assert (found.stale, found.is_final, found.problems) == (True, False, ("squeue: down",))


def test_without_accounting_the_queue_and_the_markers_are_used(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b", BETA)))
    slurm.forget("1")
    slurm.no_accounting = "sacct: off"
    found = status(run, slurm)
    assert found.problems == (
        "sacct: off (states from markers and squeue only)",
        "Slurm does not show job 1 (a): lost if it still does not after 120 s",
    )
    assert (found.step("a").stale, found.step("b").stale) == (True, False)


def test_a_job_that_nobody_shows_is_lost_after_two_minutes_not_at_once(
    slurm: MemoryScheduler, tmp_path: Path, clock: list[float]
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b"), a("c")))
    slurm.forget("1", account=False)
    found = status(run, slurm)
    assert found.problems == (
        "Slurm does not show job 1_0 (a) and 2 more: lost if it still does not after 120 s",
    )
    assert collected(run, slurm).evidence["a"].missing_s == 0
    end(run, "c")
    assert " (a) and 1 more: " in status(run, slurm).problems[0]
    clock[0] += LOST_AFTER_S - 1
    assert collected(run, slurm).evidence["a"].missing_s == LOST_AFTER_S - 1
    assert set(states(run, slurm).values()) == {"PENDING", "DONE"}
    clock[0] += 1
    found = status(run, slurm)
    assert {step.state for step in found.steps} == {State.LOST, State.DONE}
    assert found.problems == ()


def test_the_two_minutes_begin_anew_when_the_job_was_there_in_between(
    slurm: MemoryScheduler, tmp_path: Path, clock: list[float]
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    job = dict(slurm.jobs)
    slurm.forget("1", account=False)
    states(run, slurm)
    slurm.jobs = job
    states(run, slurm)
    slurm.forget("1", account=False)
    clock[0] += LOST_AFTER_S
    assert states(run, slurm) == {"a": "PENDING"}
    clock[0] -= 10 * LOST_AFTER_S  # a clock that was put back
    assert collected(run, slurm).evidence["a"].missing_s == 0


def test_a_step_without_a_job_id_was_not_submitted(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TWO)
    kept_events(run, lambda e: e["event"] == "submission" or e.get("stage") == 0)
    found = status(run, slurm)
    assert [(step.state, step.job) for step in found.steps] == [
        (State.PENDING, "1"),
        (State.NOT_SUBMITTED, None),
    ]
    assert found.step("b").cause == "the submission stopped before it"


def test_a_step_that_no_submission_names_shows_the_time_of_the_plan(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    begin(run, "a")
    submissions.path_of(run.path, 1).unlink()
    found = status(run, slurm)
    (one,) = found.steps
    assert (one.state, one.cause, one.requested_s, one.attempt) == (
        State.NOT_SUBMITTED, None, 3600.0, 0,
    )  # fmt: skip
    assert asked(slurm) == {}


def test_a_broken_marker_is_a_problem_and_not_an_end(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    files_of(run, "a").record(0).write_text('{"outco')
    found = status(run, slurm)
    assert found.step("a").state is State.PENDING
    assert found.problems == ("stages/1.0/0.0.json is not readable",)


def test_a_torn_journal_is_a_problem(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    with run.journal.path.open("a") as file:
        file.write('{"event": "rel')
    assert len(status(run, slurm).problems) == 1


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.", "OUT_OF_MEMORY"),
        (
            "slurmstepd-n1: error: Step 1.0 exceeded memory limit (9 > 5), being killed",
            "OUT_OF_MEMORY",
        ),
        ("my own error: exceeded memory limit", "FAILED"),
    ],
)
def test_slurms_own_line_in_the_log_tells_that_the_memory_was_too_small(
    slurm: MemoryScheduler, tmp_path: Path, line: str, state: str
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    begin(run, "a")
    files_of(run, "a").log().write_text(f"begun\n{line}\n")
    slurm.set("1", "RUNNING")
    assert states(run, slurm) == {"a": "RUNNING"}
    assert not collected(run, slurm).evidence["a"].memory_complaint
    slurm.set("1", "FAILED")
    assert states(run, slurm) == {"a": state}


def test_the_log_of_what_never_started_is_not_read(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    line = "slurmstepd: error: Detected 1 oom_kill event in StepId=1.batch.\n"
    files_of(run, "a").log().write_text(line)
    slurm.set("1", "FAILED")
    assert states(run, slurm) == {"a": "FAILED"}


# Jobs that the record does not name


def stray(slurm: MemoryScheduler, run: RunDir, key: str, state: str = "PENDING") -> None:
    view = next(iter(slurm.jobs.values()))
    slurm.jobs[None, key] = type(view)(key, state, comment=f"x {run.tag_prefix()}1.0")


def test_jobs_that_the_record_does_not_name_are_reported(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    stray(slurm, run, "8_3")
    stray(slurm, run, "7")
    stray(slurm, run, "9", "COMPLETED")
    slurm.jobs[None, "6"] = type(slurm.jobs[None, "7"])("6", "RUNNING", comment="planit:other:1.0")
    slurm.jobs[None, "5"] = type(slurm.jobs[None, "7"])("5", "RUNNING")
    found = status(run, slurm)
    (problem,) = found.problems
    assert problem == (
        "job(s) 7, 8 in the queue are not in the run's record: they do nothing, and planit cancel"
        " or resume clears them"
    )
    with RunLock(run.path):  # somebody submits at this moment
        assert status(run, slurm).problems == ()


# Submissions that stopped in the middle


def test_a_submission_that_was_not_released_is_incomplete(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    assert not status(run, slurm).incomplete
    killed_before_release(run, slurm)
    found = status(run, slurm)
    assert (found.incomplete, found.submitting) == (True, None)
    with RunLock(run.path):
        found = status(run, slurm)
    assert not found.incomplete
    assert "process" in str(found.submitting)
    assert not found.is_final


def test_a_submission_of_which_something_ran_was_released(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    kept_events(run, lambda event: event["event"] != "released")
    begin(run, "a")
    assert not status(run, slurm).incomplete
    slurm.set("2", "PENDING", reason="JobHeldUser")
    assert status(run, slurm).incomplete


def test_who_holds_the_lock_of_a_whole_submission_does_not_submit(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    with RunLock(run.path):
        assert status(run, slurm).submitting is None


# What is shown of a step


def test_the_end_marker_tells_time_node_and_error(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("good"), a("bad"), a("odd")))
    end(run, "good", error="not shown", node="n3")
    slurm.set("1_0", "COMPLETED")
    end(run, "bad", "failed", "broken")
    slurm.set("1_1", "FAILED", elapsed_s=99, node="n9")
    end(run, "odd", "terminated")
    slurm.set("1_2", "CANCELLED", elapsed_s=98, node="n8")
    good, bad, odd = status(run, slurm).steps
    assert (good.elapsed_s, good.node, good.error, good.job) == (5.0, "n3", None, "1_0")
    assert (bad.elapsed_s, bad.node, bad.job, bad.attempt) == (5.0, "h1", "1_1", 1)
    assert bad.error is not None
    assert bad.error["traceback"] == "Traceback: broken"
    assert (odd.elapsed_s, odd.node, odd.error) == (98, "n8", None)


def test_a_waiting_step_has_no_time_and_a_running_one_its_first_attempt(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("waits"), a("runs"), a("held", BETA)))
    slurm.set("1_1", "RUNNING", elapsed_s=3, node="n1")
    slurm.set("2", "PENDING", "beta", reason="JobHeldUser")
    waits, runs, held = status(run, slurm).steps
    assert (waits.elapsed_s, waits.attempt, waits.cluster, waits.queued) == (None, 0, None, True)
    assert (runs.elapsed_s, runs.attempt, runs.node, runs.ending) == (3, 1, "n1", False)
    assert (held.state, held.cluster, held.requested_s) == (State.HELD, "beta", 7200.0)
    slurm.set("1_1", "COMPLETING")
    assert status(run, slurm).step("runs").ending


def test_array_tasks_of_a_sweep_are_known_by_their_index(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    sweep = Sweep("s", dict, ARGS, over={"x": [1, 2, 3]})
    run = submitted(slurm, tmp_path, Chain(a("first"), sweep))
    slurm.set("2_1", "RUNNING")
    found = [(step.job, step.state.value) for step in status(run, slurm).steps]
    assert found == [("1", "PENDING"), ("2_0", "PENDING"), ("2_1", "RUNNING"), ("2_2", "PENDING")]


def test_what_was_cancelled_through_planit_is_not_blocked(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    for key in ("1", "2"):
        slurm.set(key, "CANCELLED")
    assert states(run, slurm) == {"a": "CANCELLED", "b": "BLOCKED"}
    run.journal.append("cancelled", number=1, steps=["b"])
    assert states(run, slurm) == {"a": "CANCELLED", "b": "CANCELLED"}


def test_a_step_that_started_is_not_blocked_by_a_failed_one_before_it(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    end(run, "a", "failed", "broken")
    slurm.set("1", "FAILED")
    begin(run, "b")
    slurm.set("2", "CANCELLED")
    found = status(run, slurm).step("b")
    assert (found.state, found.cause) == (State.CANCELLED, "cancelled while it ran")


def test_a_folder_without_a_manifest_is_not_a_run(slurm: MemoryScheduler, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run directory"):
        status(RunDir(tmp_path), slurm)


# The cache


def test_a_status_that_finds_nothing_new_writes_nothing(
    slurm: MemoryScheduler, tmp_path: Path, clock: list[float]
) -> None:
    run = submitted(slurm, tmp_path, TWO)
    slurm.forget("1", account=False)
    states(run, slurm)
    inode = (run.path / "states.json").stat().st_ino
    clock[0] += 7.123
    states(run, slurm)
    assert (run.path / "states.json").stat().st_ino == inode
    slurm.set("2", "RUNNING")
    states(run, slurm)
    assert (run.path / "states.json").stat().st_ino != inode


def test_what_a_status_leaves_for_the_next(
    slurm: MemoryScheduler, tmp_path: Path, clock: list[float]
) -> None:
    root: Node = Parallel(a("a", BETA), a("b"), Chain(a("c"), a("d")))
    run = submitted(slurm, tmp_path, root)
    slurm.set("1", "RUNNING", "beta", elapsed_s=4, node="n1")
    end(run, "b", "failed", "broken")
    slurm.set("2", "FAILED")
    slurm.forget("2")
    slurm.forget("3", account=False)
    states(run, slurm)
    left = cached(run)
    before = left["a"].copy()
    assert {name: (one.pop("slug"), one.pop("requested_s")) for name, one in left.items()} == {
        "a": ("a", 7200.0), "b": ("b", 3600.0), "c": ("c", 3600.0), "d": ("d", 3600.0),
    }  # fmt: skip
    error = {"type": "ValueError", "message": "broken", "traceback": "Traceback: broken"}
    assert left == {
        "a": {"state": "RUNNING", "job": "1", "cluster": "beta", "attempt": 1, "elapsed_s": 4,
              "node": "n1", "queued": True},
        "b": {"state": "FAILED", "job": "2", "attempt": 1, "elapsed_s": 5.0, "node": "h1",
              "cause": "ValueError: broken", "error": error, "forgotten": True, "records": 1,
              "started": True},
        "c": {"state": "PENDING", "job": "3", "attempt": 0, "forgotten": True,
              "cause": "Slurm does not show the job", "missing_since": clock[0]},
        "d": {"state": "PENDING", "job": "4", "attempt": 0, "queued": True},
    }  # fmt: skip
    slurm.no_answer["beta"] = "down"
    states(run, slurm)
    assert cached(run)["a"] == before
    assert status(run, slurm).step("b").error == error


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"steps": 3}', '{"steps": {"a": 3}}', '{"steps": {"a": {"state": "GONE"}}}',
     '{"steps": {"a": {"job": "1"}}}',
     '{"steps": {"a": {"state": "DONE", "job": "2", "attempt": 1}}}',
     '{"steps": {"a": {"state": "DONE", "job": "1", "attempt": 0, "cluster": "beta"}}}'],
)  # fmt: skip
def test_a_cache_that_is_torn_or_foreign_or_of_another_job_is_passed_over(
    slurm: MemoryScheduler, tmp_path: Path, content: str
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    (run.path / "states.json").write_text(content)
    assert states(run, slurm) == {"a": "PENDING"}


def test_a_folder_that_cannot_be_written_to_is_read(
    slurm: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted(slurm, tmp_path, a("a"))

    def refuse(*_args: object) -> None:
        raise RunError("another user's")

    monkeypatch.setattr("planit.record.trust.opened", refuse)
    assert states(run, slurm) == {"a": "PENDING"}
    assert not (run.path / "states.json").exists()
