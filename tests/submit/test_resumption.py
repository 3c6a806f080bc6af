"""What a resume keeps, reruns and waits for, and what its jobs depend on."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Parallel, PlanError, SlurmArgs, Step, Sweep
from planit.errors import RunError, SchedulerError, SubmissionError
from planit.nodes import Resources
from planit.record import submissions, tickets
from planit.record.jobs import JobRef, JobView
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.record.stage_dir import Needed
from planit.submit.resumption import Resume
from tests.memory import MemoryScheduler
from tests.runs import (
    ARGS,
    BETA,
    a,
    begin,
    end,
    events,
    history,
    killed_before_release,
    states,
    submitted,
)

CHAIN = Chain(a("a"), a("b"), a("c"))


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


def done(run: RunDir, slurm: MemoryScheduler, *names: str, submission: int = 1) -> None:
    for name in names:
        end(run, name, submission=submission)
        slurm.set(str(history(run).placements[name].key), "COMPLETED")


def failed(run: RunDir, slurm: MemoryScheduler, *names: str) -> None:
    for name in names:
        end(run, name, "failed", "broken")
        slurm.set(str(history(run).placements[name].key), "FAILED")


def gone(run: RunDir, slurm: MemoryScheduler, *names: str) -> None:
    """Cancelled by Slurm, as it could never run."""
    for name in names:
        slurm.set(str(history(run).placements[name].key), "CANCELLED")


def resume(run: RunDir, slurm: MemoryScheduler, **more: Any) -> list[tuple[str, str, str]]:
    decisions = Resume(run, slurm, **more).execute()
    return [(one.step, one.action.value, one.reason) for one in decisions]


def actions(decisions: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    return {name: action for name, action, _ in decisions}


def after(run: RunDir, slurm: MemoryScheduler, name: str) -> list[str]:
    job = history(run).placements[name].job
    assert job is not None
    return slurm.after[job]


# What is rerun


def test_what_failed_is_rerun_with_all_behind_it_and_the_rest_is_kept(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a")
    failed(run, slurm, "b")
    gone(run, slurm, "c")
    assert resume(run, slurm) == [
        ("a", "keep", "done"),
        ("b", "rerun", "failed: ValueError: broken"),
        ("c", "rerun", "blocked by b: FAILED"),
    ]
    assert slurm.live() == ["4", "5"]
    assert (after(run, slurm, "b"), after(run, slurm, "c")) == ([], ["afterok:4"])
    assert states(run, slurm) == {"a": "DONE", "b": "PENDING", "c": "PENDING"}
    ticket = tickets.read(run.path, 2)
    assert ticket == tickets.Ticket(
        {0: JobRef(None, "4"), 1: JobRef(None, "5")}, frozenset({"b", "c"})
    )


def test_where_all_is_done_nothing_is_submitted(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a", "b", "c")
    assert set(actions(resume(run, slurm)).values()) == {"keep"}
    assert len(slurm.jobs) == 3
    assert len(events(run, "submission")) == 1


def test_what_waits_or_runs_is_waited_for(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b"), a("c", BETA)))
    begin(run, "a")
    slurm.set("1_0", "RUNNING")
    slurm.set("2", "PENDING", "beta", reason="JobHeldUser")
    assert resume(run, slurm) == [
        ("a", "wait", "running"),
        ("b", "wait", "pending"),
        ("c", "wait", "held"),
    ]
    assert len(slurm.after) == 2


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("TIMEOUT", "timeout: exceeded the time limit"),
        ("DEADLINE", "timeout: exceeded the time limit"),
        ("CANCELLED", "cancelled: cancelled before it ran"),
    ],
)
def test_a_rerun_says_why(slurm: MemoryScheduler, tmp_path: Path, state: str, reason: str) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    slurm.set("1", state)
    assert resume(run, slurm) == [("a", "rerun", reason)]


def test_a_dry_run_decides_and_changes_nothing(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    failed(run, slurm, "a")
    before = (dict(slurm.jobs), events(run))
    decisions = Resume(run, slurm).plan()
    assert [one.action.value for one in decisions] == ["rerun"] * 3
    assert (slurm.jobs, events(run)) == before


def test_what_was_asked_for_is_rerun_though_it_is_done(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a", "b", "c")
    assert resume(run, slurm, start_from=["b"]) == [
        ("a", "keep", "done"),
        ("b", "rerun", "asked for"),
        ("c", "rerun", "asked for"),
    ]
    done(run, slurm, "b", "c", submission=2)
    assert actions(resume(run, slurm, only=["b"])) == {"a": "keep", "b": "rerun", "c": "keep"}


def test_what_waits_and_is_not_rerun_stays_in_the_queue(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("bad"), a("waits"), a("far", BETA)))
    failed(run, slurm, "bad")
    assert actions(resume(run, slurm)) == {"bad": "rerun", "waits": "wait", "far": "wait"}
    assert slurm.live() == ["1_1", "2", "3"]


def test_what_failed_and_was_not_asked_for_is_kept(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Parallel(a("a"), a("b")))
    failed(run, slurm, "a", "b")
    assert resume(run, slurm, only=["a"]) == [
        ("a", "rerun", "failed: ValueError: broken"),
        ("b", "keep", "not asked for"),
    ]


def test_done_steps_behind_a_failed_one_are_rerun_too(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    failed(run, slurm, "a")
    done(run, slurm, "b")
    assert resume(run, slurm) == [
        ("a", "rerun", "failed: ValueError: broken"),
        ("b", "rerun", "behind a step that is rerun"),
    ]


# What is refused


def test_an_unknown_step_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    for more in ({"start_from": ["x"]}, {"only": ["x"]}):
        with pytest.raises(RunError, match="no step 'x'"):
            resume(run, slurm, **more)


def test_a_running_step_is_not_started_a_second_time(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    begin(run, "a")
    slurm.set("1", "RUNNING")
    with pytest.raises(RunError, match=r"step 'a' is running \(job 1\)") as caught:
        resume(run, slurm, start_from=["a"])
    assert "planit cancel a" in str(caught.value.hint)
    assert slurm.live() == ["1", "2", "3"]


def test_a_step_is_not_rerun_behind_one_that_failed(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    failed(run, slurm, "a")
    gone(run, slurm, "b", "c")
    with pytest.raises(RunError, match="step 'b' waits for 'a', which is FAILED") as caught:
        resume(run, slurm, only=["b"])
    assert "--from a" in str(caught.value.hint)


def test_a_step_is_not_rerun_before_one_that_waits_for_it(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a")
    with pytest.raises(RunError, match=r"step 'b' behind 'a' is PENDING \(job 2\)") as caught:
        resume(run, slurm, only=["a"])
    assert str(caught.value.hint) == "rerun both with --from a, or cancel b first"


def test_without_an_answer_nothing_is_submitted(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    slurm.forget("1", account=False)
    with pytest.raises(SchedulerError, match="cannot tell what still runs: Slurm does not show"):
        resume(run, slurm)
    slurm.no_answer = {None: "down"}
    with pytest.raises(SchedulerError, match="down"):
        resume(run, slurm)
    assert len(slurm.after) == 3


def test_while_somebody_works_on_the_run_nothing_is_submitted(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    with RunLock(run.path), pytest.raises(RunError, match="is being worked on"):
        resume(run, slurm)


def test_a_submission_that_cannot_be_read_is_refused(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    submissions.path_of(run.path, 1).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        resume(run, slurm)


def test_a_run_that_others_can_write_to_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    run.path.chmod(0o777)
    with pytest.raises(RunError):
        Resume(run, slurm)


def test_where_a_job_is_refused_the_run_is_as_it_was(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a")
    failed(run, slurm, "b")
    gone(run, slurm, "c")
    before = states(run, slurm)
    slurm.refuses = {"c": "no"}
    with pytest.raises(SubmissionError, match="step 'c' was refused: no"):
        resume(run, slurm)
    assert states(run, slurm) == before
    assert slurm.live() == []
    slurm.refuses = {}
    assert actions(resume(run, slurm)) == {"a": "keep", "b": "rerun", "c": "rerun"}
    assert history(run).last_submission == 3


def gone_function(_x: int) -> None:
    """A step's function that is removed by a test."""


def test_a_function_that_is_gone_is_refused_by_the_name_of_its_step(
    slurm: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submitted(slurm, tmp_path, Chain(Step("a", gone_function, ARGS, 1)))
    failed(run, slurm, "a")
    monkeypatch.delattr(sys.modules[__name__], "gone_function")
    with pytest.raises(PlanError, match="step 'a': ") as caught:
        resume(run, slurm)
    assert "gone_function" in caught.value.message
    assert slurm.live() == []


# What the new jobs wait for


def test_a_step_behind_a_running_one_waits_for_its_job(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Chain(Parallel(a("bad"), a("runs"), a("ok")), a("join")))
    begin(run, "runs")
    slurm.set("1_1", "RUNNING")
    failed(run, slurm, "bad")
    done(run, slurm, "ok")
    gone(run, slurm, "join")
    assert actions(resume(run, slurm)) == {
        "runs": "wait", "bad": "rerun", "ok": "keep", "join": "rerun",
    }  # fmt: skip
    assert slurm.live() == ["1_1", "3", "4"]
    assert after(run, slurm, "bad") == []
    assert set(after(run, slurm, "join")) == {"afterok:3", "afterok:1_1"}
    place = history(run).placements["join"]
    needed = run.stage_dir(2, place.stage).needed(0)
    assert needed is not None
    assert Needed("runs", 1, 0, 1) in needed
    assert {one.name for one in needed} == {"runs", "bad"}


def test_a_done_step_between_two_is_passed_through_to_the_live_one_before_it(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    slurm.set("1", "PENDING", reason="Priority")
    done(run, slurm, "b")
    failed(run, slurm, "c")
    assert actions(resume(run, slurm)) == {"a": "wait", "b": "keep", "c": "rerun"}
    assert after(run, slurm, "c") == ["afterok:1"]


def test_steps_that_wait_for_different_jobs_are_not_put_into_one_array(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    root = Parallel(Chain(a("x0"), a("y0")), Chain(a("x1"), a("y1")))
    run = submitted(slurm, tmp_path, root)
    begin(run, "x0")
    slurm.set("1_0", "RUNNING")
    done(run, slurm, "x1")
    failed(run, slurm, "y0", "y1")
    resume(run, slurm)
    assert after(run, slurm, "y0") == ["afterok:1_0"]
    assert after(run, slurm, "y1") == []


def test_failed_tasks_of_a_sweep_are_an_array_again(slurm: MemoryScheduler, tmp_path: Path) -> None:
    sweep = Sweep("s", dict, ARGS, over={"seconds": [0, 1, 2, 3]})
    run = submitted(slurm, tmp_path, sweep)
    names = list(history(run).placements)
    done(run, slurm, names[0], names[2])
    failed(run, slurm, names[1], names[3])
    resume(run, slurm)
    assert slurm.live() == ["2_0", "2_1"]
    assert [history(run).placements[name].key for name in names] == ["1_0", "2_0", "1_2", "2_1"]


def test_a_job_that_would_wait_for_ever_is_taken_out_of_the_queue_first(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    failed(run, slurm, "a")
    for key in ("2", "3"):
        slurm.set(key, "PENDING", reason="DependencyNeverSatisfied")
    slurm.stubborn = {JobRef(None, "3"): "still there"}
    with pytest.raises(SchedulerError, match="3: still there"):
        resume(run, slurm)
    slurm.stubborn = {}
    assert actions(resume(run, slurm)) == dict.fromkeys("abc", "rerun")
    assert slurm.live() == ["4", "5", "6"]


# New parameters


LONG = Resources({"time": "9:00:00", "partition": "long"})


def test_new_parameters_go_to_what_is_rerun(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a")
    failed(run, slurm, "b")
    gone(run, slurm, "c")
    seen: list[Mapping[str, Resources]] = []

    def edit(now: Mapping[str, Resources]) -> dict[str, Resources]:
        seen.append(now)
        return {"b": LONG}

    resume(run, slurm, edit=edit)
    options = {name: place.options for name, place in history(run).placements.items()}
    assert (options["b"]["partition"], options["c"]["partition"]) == ("long", "batch")
    assert options["a"]["partition"] == "batch"
    assert "--partition=long" in run.stage_dir(2, 0).script.read_text()
    assert list(seen[-1]) == ["b", "c"]
    assert seen[-1]["c"].options["partition"] == "batch"


def test_new_parameters_go_to_the_default_cluster_of_the_site(tmp_path: Path) -> None:
    slurm = MemoryScheduler(cluster="alpha")
    run = submitted(slurm, tmp_path, a("a"))
    slurm.set("1", "FAILED", "alpha")
    resume(run, slurm, edit=lambda _now: {"a": LONG})
    assert history(run).placements["a"].job == JobRef("alpha", "2")


def test_new_parameters_for_what_is_not_rerun_are_refused(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    done(run, slurm, "a")
    failed(run, slurm, "b")
    gone(run, slurm, "c")
    for more in ({}, {"only": ["b"]}):
        with pytest.raises(RunError, match="step 'a' is not rerun"):
            resume(run, slurm, edit=lambda _now: {"a": LONG}, **more)
    with pytest.raises(RunError, match="step 'a' is not rerun"):
        Resume(run, slurm, edit=lambda _now: {"a": LONG}).plan()
    assert slurm.live() == []


def test_parameters_that_are_refused_leave_everything_as_it_is(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    killed_before_release(run, slurm)

    def refuse(_now: Mapping[str, Resources]) -> dict[str, Resources]:
        raise PlanError("no such field")

    with pytest.raises(PlanError, match="no such field"):
        resume(run, slurm, edit=refuse)
    assert slurm.held() == ["1", "2", "3"]


def test_a_step_that_no_submission_names_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    submissions.path_of(run.path, 1).unlink()
    run.journal.path.write_text("")
    slurm.jobs.clear()
    with pytest.raises(RunError, match="there is no record of how step 'a' was submitted"):
        resume(run, slurm)


# Submissions that stopped in the middle


def test_a_submission_that_is_all_in_is_finished_not_repeated(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    killed_before_release(run, slurm)
    assert set(actions(resume(run, slurm)).values()) == {"wait"}
    assert (slurm.live(), slurm.held()) == (["1", "2", "3"], [])


def test_with_new_parameters_it_is_submitted_anew(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    killed_before_release(run, slurm)
    decisions = resume(run, slurm, edit=lambda _now: {"a": LONG})
    assert set(actions(decisions).values()) == {"rerun"}
    assert slurm.live() == ["4", "5", "6"]


def test_strays_are_cleared_before_anything_is_submitted(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    done(run, slurm, "a")
    slurm.jobs[None, "9"] = JobView("9", "PENDING", comment=run.tag(1, 0))
    resume(run, slurm)
    assert slurm.live() == []


# What else is written down


def test_progress_and_the_journal_of_a_resume(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, CHAIN)
    failed(run, slurm, "a")
    gone(run, slurm, "b", "c")
    told: list[tuple[int, int]] = []
    resume(run, slurm, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    second = [event for event in events(run) if event["number"] == 2]
    assert [event["event"] for event in second] == [
        "submission", *["intent", "submitted"] * 3, "released",
    ]  # fmt: skip
    assert submissions.numbers(run.path) == [1, 2]


def test_commands_are_rerun_without_a_function(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Command("c", "false", SlurmArgs("5", "batch")))
    failed(run, slurm, "c")
    assert actions(resume(run, slurm)) == {"c": "rerun"}
    assert slurm.live() == ["2"]
