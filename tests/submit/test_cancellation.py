"""What a cancel takes out of the queue, what it writes down, and what it leaves."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from planit import Chain, Parallel, Sweep
from planit.errors import RunError, SchedulerError
from planit.record import submissions
from planit.record.jobs import JobRef, JobView
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.submit.cancellation import Cancelled, cancel, jobs_of, refuse_unknown
from tests.memory import MemoryScheduler
from tests.runs import (
    ARGS,
    a,
    begin,
    end,
    events,
    history,
    killed_before_release,
    states,
    status,
    submitted,
)

TREE = Chain(a("prep"), Parallel(Chain(a("x"), a("y")), a("z")), a("join"))


class Noting(MemoryScheduler):
    """Notes which jobs it was told to cancel."""

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        wanted = list(jobs)
        self.told = [*getattr(self, "told", []), *(str(job) for job in wanted)]
        return super().cancel(wanted)


@pytest.fixture
def slurm() -> Noting:
    return Noting()


def sweep(count: int) -> Sweep:
    return Sweep("s", time_sleep, ARGS, over={"x": list(range(count))})


def time_sleep(x: int) -> None:
    """A step's function."""


def journalled(run: RunDir) -> list[list[str]]:
    return [event["steps"] for event in events(run, "cancelled")]


def test_the_whole_run_is_cancelled(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TREE)
    end(run, "prep")
    slurm.set("1", "COMPLETED")
    done = cancel(run, slurm)
    assert done == Cancelled(("x", "y", "z", "join"), ("prep",))
    assert slurm.live() == []
    assert journalled(run) == [["x", "y", "z", "join"]]
    assert events(run, "cancelled")[0]["number"] == 1
    assert states(run, slurm) == {
        "prep": "DONE", "x": "CANCELLED", "y": "CANCELLED", "z": "CANCELLED", "join": "CANCELLED",
    }  # fmt: skip
    assert cancel(run, slurm) == Cancelled((), ("prep", "x", "y", "z", "join"))
    assert len(journalled(run)) == 1


def test_a_step_is_cancelled_with_all_behind_it_and_nothing_else(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TREE)
    assert cancel(run, slurm, ["x"]).steps == ("x", "y", "join")
    live = {step.name for step in status(run, slurm).steps if not step.state.is_final}
    assert live == {"prep", "z"}


def test_an_unknown_step_is_refused_with_what_could_be_meant(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TREE)
    with pytest.raises(RunError, match="no step 'joim' in this run") as caught:
        cancel(run, slurm, ["x", "joim"])
    assert "join" in str(caught.value.hint)
    assert len(slurm.live()) == 5


def test_of_many_steps_thirty_are_shown(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Parallel(*(a(f"s{i:02}") for i in range(31))))
    with pytest.raises(RunError) as caught:
        refuse_unknown(history(run), ["?"])
    assert "s29" in str(caught.value.hint)
    assert "s30" not in str(caught.value.hint)
    refuse_unknown(history(run), ["s30"])


def test_while_somebody_works_on_the_run_nothing_is_cancelled(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TREE)
    with RunLock(run.path), pytest.raises(RunError, match="is being worked on"):
        cancel(run, slurm)
    assert len(slurm.live()) == 5


def test_what_cannot_be_cancelled_is_an_error_and_not_journalled(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TREE)
    slurm.stubborn = {JobRef(None, "1"): "still there"}
    with pytest.raises(SchedulerError, match=r"1 job\(s\) are not known to be gone: 1: still"):
        cancel(run, slurm)
    assert journalled(run) == [["x", "y", "z", "join"]]
    slurm.stubborn = {}
    assert cancel(run, slurm).steps == ("prep",)


def test_without_an_answer_nothing_is_said_to_be_cancelled(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TREE)
    slurm.no_answer = {None: "squeue: down"}
    with pytest.raises(SchedulerError):
        cancel(run, slurm)
    assert journalled(run) == []


def test_a_blocked_step_whose_job_waits_for_ever_is_cancelled(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    end(run, "a", "failed", "broken")
    slurm.set("1", "FAILED")
    slurm.set("2", "PENDING", reason="DependencyNeverSatisfied")
    assert status(run, slurm).step("b").state == "BLOCKED"
    assert cancel(run, slurm) == Cancelled(("b",), ("a",))
    assert slurm.live() == []


def test_a_step_that_is_being_ended_is_cancelled_once(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    begin(run, "a")
    slurm.set("1", "COMPLETING")
    assert cancel(run, slurm).steps == ("a",)
    slurm.set("1", "COMPLETING")
    assert cancel(run, slurm) == Cancelled((), ("a",))


def test_a_job_that_was_requeued_by_hand_is_cancelled(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(run, "a")
    slurm.set("1", "PENDING")
    assert cancel(run, slurm).steps == ("a",)


# Arrays


def test_an_array_is_cancelled_as_a_whole(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, sweep(3))
    cancel(run, slurm)
    assert slurm.told == ["1"]


def test_of_an_array_with_other_open_tasks_the_tasks_are_cancelled(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, sweep(3))
    names = list(history(run).placements)
    cancel(run, slurm, names[:2])
    assert slurm.told == ["1_0", "1_1"]
    assert slurm.live() == ["1_2"]
    assert journalled(run) == [names[:2]]


def test_an_array_whose_other_tasks_have_ended_is_cancelled_as_a_whole(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, sweep(3))
    first, *rest = history(run).placements
    end(run, first)
    slurm.set("1_0", "COMPLETED")
    cancel(run, slurm, rest)
    assert slurm.told == ["1"]


def test_a_task_that_is_left_is_named_by_its_step_alone(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, sweep(3))
    names = list(history(run).placements)
    slurm.stubborn = {JobRef(None, "1_1"): "still there"}
    with pytest.raises(SchedulerError, match="1_1: still there"):
        cancel(run, slurm, names[:2])
    assert journalled(run) == [[names[0]]]
    slurm.stubborn = {JobRef(None, "1"): "still there"}
    with pytest.raises(SchedulerError, match="1: still there"):
        cancel(run, slurm)
    assert journalled(run) == [[names[0]]]


def test_steps_without_a_job_have_none_to_cancel(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TREE)
    run.journal.path.write_text("")
    assert jobs_of(history(run), status(run, slurm), ["x"]) == []


# Submissions that stopped in the middle, and strays


def test_a_submission_that_stopped_is_cleared_by_a_cancel(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, TREE)
    killed_before_release(run, slurm)
    done = cancel(run, slurm)
    assert done == Cancelled((), ("prep", "x", "y", "z", "join"), done.cleared)
    assert set(done.cleared) == {"prep", "x", "y", "z", "join"}
    assert slurm.live() == []


def test_one_that_runs_all_the_same_is_cancelled_and_not_cleared(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TREE)
    killed_before_release(run, slurm)
    begin(run, "prep")
    slurm.set("1", "RUNNING")
    done = cancel(run, slurm)
    assert (len(done.steps), done.cleared) == (5, ())


def test_strays_are_cancelled_and_named(slurm: Noting, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    slurm.jobs[None, "7"] = JobView("7", "PENDING", comment=run.tag(1, 0))
    done = cancel(run, slurm)
    assert done == Cancelled(("a",), (), (), (JobRef(None, "7"),))


def test_what_cannot_be_read_is_cleared_whole_but_not_by_step(
    slurm: Noting, tmp_path: Path
) -> None:
    run = submitted(slurm, tmp_path, TREE)
    submissions.path_of(run.path, 1).write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        cancel(run, slurm, ["x"])
    assert len(slurm.live()) == 5
    done = cancel(run, slurm)
    assert {str(job) for job in done.strays} == {key.partition("_")[0] for _, key in slurm.jobs}
    assert slurm.live() == []
