"""submitit's debug executor: the plan runs in this process, in order."""

from __future__ import annotations

import os
import pdb
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import (
    Chain,
    Command,
    Node,
    Parallel,
    Plan,
    PlanError,
    SlurmArgs,
    Step,
    StepsFailedError,
)
from planit.nodes import tasks
from tests.helpers import CPU, nothing


def debug(folder: Path) -> submitit.AutoExecutor:
    return submitit.AutoExecutor(folder=folder / "logs", cluster="debug")


class Recorder:
    """Steps that note their name, and fail if they are told to."""

    def __init__(self, failing: frozenset[str] = frozenset()) -> None:
        self.failing = failing
        self.seen: list[str] = []

    def __call__(self, name: str) -> str:
        self.seen.append(name)
        if name in self.failing:
            raise ValueError(f"{name} is broken")
        return name.upper()

    def step(self, name: str) -> Step:
        return Step(name, self, CPU, name)


def names_of(root: Node) -> list[str]:
    return [task.name for task, _ in tasks(root)]


def run(plan: Plan, folder: Path) -> list[Any]:
    jobs = plan.submit(debug(folder))
    plan.wait()
    return jobs


def _own(name: str) -> tuple[str | None, str | None]:
    return os.environ.get("FOR_STEPS"), os.environ.get(name)


def test_a_step_has_its_variables_and_what_needs_a_shell_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BASE", "/b")
    env = SlurmArgs("5", "batch", env={"FOR_STEPS": "yes", "JOINED": "$BASE/${FOR_STEPS}"})
    jobs = run(Plan("p", Step("a", _own, env, "JOINED")), tmp_path)
    assert jobs[0].result() == ("yes", "/b/yes")
    assert "FOR_STEPS" not in os.environ
    for fields in ({"setup": ["true"]}, {"venv": "v", "workdir": "w"}, {"container": "x"}):
        step = Step("a", _own, SlurmArgs("5", "batch", **fields), "x")
        words = ", ".join(fields)
        with pytest.raises(PlanError, match=f"step 'a' asks for {words}, and the debug backend"):
            Plan("p", step).submit(debug(tmp_path))
    unset = Step("a", _own, SlurmArgs("5", "batch", env={"A": "$NO_SUCH"}), "x")
    with pytest.raises(PlanError, match=r"env\.A: 'NO_SUCH' is not set"):
        Plan("p", unset).submit(debug(tmp_path))


def test_steps_run_in_the_order_of_the_plan_and_only_in_wait(tmp_path: Path) -> None:
    record = Recorder()
    plan = Plan("p", Chain(*(record.step(f"s{i}") for i in range(20))))
    plan.submit(debug(tmp_path))
    assert record.seen == []
    plan.wait()
    assert record.seen == [f"s{i}" for i in range(20)]


def test_the_jobs_are_submitits_and_give_the_results_in_the_order_of_the_plan(
    tmp_path: Path,
) -> None:
    record = Recorder()
    jobs = run(Plan("p", Parallel(record.step("a"), Chain(record.step("b")))), tmp_path)
    assert all(isinstance(job, submitit.Job) for job in jobs)
    assert [job.result() for job in jobs] == ["A", "B"]
    assert record.seen.count("a") == 1


def test_parallel_branches_overlap_in_time(tmp_path: Path) -> None:
    together = threading.Barrier(4, timeout=20)
    branches = [Chain(Step(f"s{i}", together.wait, CPU)) for i in range(4)]
    run(Plan("p", Parallel(*branches)), tmp_path)


def test_a_step_waits_for_all_its_parents(tmp_path: Path) -> None:
    ended: list[str] = []

    def slow(name: str) -> None:
        time.sleep(0.1)
        ended.append(name)

    def join() -> None:
        assert sorted(ended) == ["a", "b", "c"]

    parts = [Step("a", slow, CPU, "a"), Step("b", slow, CPU, "b")]
    tail = Chain(Parallel(), Step("c", slow, CPU, "c"))
    run(Plan("p", Chain(Parallel(*parts, tail), Parallel(), Step("join", join, CPU))), tmp_path)


def test_a_failed_step_stops_its_dependents_and_its_siblings_finish(tmp_path: Path) -> None:
    record = Recorder(frozenset({"bad", "worse"}))
    root = Chain(
        record.step("first"),
        Parallel(
            Chain(record.step("bad"), record.step("after_bad")),
            Chain(record.step("good"), record.step("after_good"), record.step("last_good")),
            record.step("worse"),
        ),
        record.step("join"),
    )
    plan = Plan("broken", root)
    jobs = plan.submit(debug(tmp_path))
    with pytest.raises(StepsFailedError) as caught:
        plan.wait()
    assert set(record.seen) == {"first", "bad", "good", "after_good", "last_good", "worse"}
    error = caught.value
    assert set(error.failures) == {"bad", "worse"}
    assert set(error.blocked) == {"after_bad", "join"}
    for name, trace in error.failures.items():
        assert f"ValueError: {name} is broken" in trace
        assert "Traceback (most recent call last)" in trace
        assert f"--- {name} ---" in error.message
    assert "2 step(s) of plan 'broken' failed" in error.message
    assert error.exit_code == 1
    states = {name: job.state for name, job in zip(names_of(root), jobs, strict=True)}
    assert {name for name, state in states.items() if state == "CANCELLED"} == set(error.blocked)


@pytest.mark.parametrize("problem", [KeyError("x"), SystemExit(3), KeyboardInterrupt()])
def test_whatever_a_step_raises_fails_the_step(tmp_path: Path, problem: BaseException) -> None:
    def fail() -> None:
        raise problem

    plan = Plan("p", Chain(Step("a", fail, CPU), Step("b", nothing, CPU)))
    plan.submit(debug(tmp_path))
    with pytest.raises(StepsFailedError) as caught:
        plan.wait()
    assert list(caught.value.failures) == ["a"]
    assert caught.value.blocked == ("b",)


def test_the_environment_and_the_working_directory_stay_as_they_are(
    empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANIT_TEST_VALUE", "kept")
    before = dict(os.environ)
    both = threading.Barrier(2, timeout=20)

    def look() -> str | None:
        both.wait()
        value = os.environ.get("PLANIT_TEST_VALUE")
        both.wait()
        return value

    steps = Parallel(Step("a", look, CPU), Step("b", look, CPU))
    jobs = run(Plan("p", steps), empty_dir)
    assert [job.result() for job in jobs] == ["kept", "kept"]
    assert dict(os.environ) == before
    assert Path.cwd() == empty_dir


def test_an_error_does_not_open_the_debugger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    for name in ("post_mortem", "set_trace"):
        monkeypatch.setattr(pdb, name, lambda *_args, name=name: opened.append(name))
    record = Recorder(frozenset({"a"}))
    plan = Plan("p", record.step("a"))
    plan.submit(debug(tmp_path))
    with pytest.raises(StepsFailedError):
        plan.wait()
    assert opened == []


@pytest.mark.parametrize(
    ("command", "fails"),
    [("echo hi > out.txt", None), ("exit 7", "exit code 7"), (["false"], "exit code 1")],
)
def test_a_command_runs_and_its_exit_code_decides(
    empty_dir: Path, command: str | list[str], fails: str | None
) -> None:
    plan = Plan("p", Command("c", command, CPU))
    plan.submit(debug(empty_dir.parent))
    if fails is None:
        plan.wait()
        assert (empty_dir / "out.txt").read_text() == "hi\n"
    else:
        with pytest.raises(StepsFailedError) as caught:
            plan.wait()
        assert fails in caught.value.failures["c"]


def test_a_command_gets_its_folder_and_variables_and_no_shell_touches_its_words(
    tmp_path: Path,
) -> None:
    words = ["sh", "-c", 'echo "$1 $N $PWD" > out.txt', "sh", "$HOME; *"]
    plan = Plan("p", Command("c", words, CPU, cwd=tmp_path, env={"N": 3}))
    run(plan, tmp_path)
    assert (tmp_path / "out.txt").read_text() == f"$HOME; * 3 {tmp_path}\n"


def test_a_dotted_path_runs(tmp_path: Path) -> None:
    plan = Plan("p", Step("a", "os.path.join", CPU, "x", "y"))
    assert run(plan, tmp_path)[0].result() == "x/y"


def one(first: int) -> int:
    return first


@pytest.mark.parametrize(
    ("func", "says"),
    [("os.path.jion", "has no 'jion'"), ("no_such.thing", "no module named"), (one, "missing")],
)
def test_what_can_be_refused_is_refused_before_anything_runs(
    empty_dir: Path, func: str | Callable[..., Any], says: str
) -> None:
    record = Recorder()
    plan = Plan("p", Chain(record.step("ok"), Step("bad", func, CPU)))
    with pytest.raises(PlanError, match=f"step 'bad': .*{says}"):
        plan.submit(debug(empty_dir.parent))
    assert record.seen == []
    with pytest.raises(PlanError, match="was not submitted"):
        plan.wait()


def test_the_callers_executor_is_not_modified(tmp_path: Path) -> None:
    executor = debug(tmp_path)
    executor.update_parameters(timeout_min=5)
    before = dict(executor.parameters)
    plan = Plan("p", Step("a", nothing, CPU))
    plan.submit(executor)
    plan.wait()
    assert executor.parameters == before


@pytest.mark.parametrize("executor", [None, "slurm", 3, submitit.AutoExecutor])
def test_what_is_no_executor_is_refused(executor: Any) -> None:
    with pytest.raises(PlanError, match="submit expects a submitit executor"):
        Plan("p", Step("a", nothing, CPU)).submit(executor)


def test_a_plan_of_empty_groups_only_is_submitted_and_waited_for(tmp_path: Path) -> None:
    assert run(Plan("p", Chain(Parallel())), tmp_path) == []


def test_more_branches_than_threads_all_run(tmp_path: Path) -> None:
    record = Recorder()
    run(Plan("p", Parallel(*(record.step(f"s{i}") for i in range(200)))), tmp_path)
    assert len(record.seen) == 200


def leave(code: int | None) -> None:
    raise SystemExit(code)


@pytest.mark.parametrize("code", [0, None])
def test_leaving_with_code_zero_is_a_success_as_in_a_job(tmp_path: Path, code: int | None) -> None:
    ran: list[int] = []
    plan = Plan("p", Chain(Step("a", leave, CPU, code), Step("b", ran.append, CPU, 1)))
    plan.submit(submitit.AutoExecutor(folder=tmp_path, cluster="debug"))
    plan.wait()
    assert ran == [1]


def test_a_limit_holds_and_a_failed_branch_makes_room(tmp_path: Path) -> None:
    running: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        running.append(number)
        most.append(len(running))
        time.sleep(0.05)
        running.remove(number)
        if number == 1:
            raise ValueError("unlucky")

    steps = [Step(f"s{i}", work, CPU, i) for i in range(6)]
    plan = Plan("p", Parallel(*steps, max_concurrent=2))
    plan.submit(submitit.AutoExecutor(folder=tmp_path, cluster="debug"))
    with pytest.raises(StepsFailedError) as caught:
        plan.wait()
    assert list(caught.value.failures) == ["s1"]
    assert (len(most), max(most)) == (6, 2)


def test_each_step_has_variables_of_its_own_while_others_run(tmp_path: Path) -> None:
    together = threading.Barrier(3, timeout=20)
    before = os.environ

    def look() -> tuple[str, str | None, str]:
        together.wait()
        whole = {**os.environ}
        found = os.environ["PLANIT_STEP"], os.getenv("PLANIT_STEP_DIR"), whole["PLANIT_STEP"]
        together.wait()
        return found

    names = ("a", "b", "c d")
    jobs = run(Plan("p", Parallel(*(Step(name, look, CPU) for name in names))), tmp_path)
    for name, job in zip(names, jobs, strict=True):
        step, folder, whole = job.result()
        assert step == whole == name
        assert Path(folder).parent == tmp_path / "logs" / "debug" / "steps"
    assert os.environ is before
    assert "PLANIT_STEP" not in os.environ


def test_what_a_step_sets_in_the_environment_is_set_for_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLANIT_TEST_VALUE", "before")

    def change() -> int:
        os.environ["PLANIT_TEST_VALUE"] = "changed"
        os.environ["PLANIT_STEP"] = "mine"
        del os.environ["PLANIT_STEP"]
        return len(os.environ) - len({**os.environ})

    (job,) = run(Plan("p", Step("a", change, CPU)), tmp_path)
    assert job.result() == 0
    assert os.environ["PLANIT_TEST_VALUE"] == "changed"


def test_a_command_has_the_variables_and_a_folder_that_stays_if_something_is_in_it(
    tmp_path: Path,
) -> None:
    keeps = Command("keeps", 'echo "$PLANIT_STEP" > "$PLANIT_STEP_DIR/kept"', CPU)
    run(Plan("p", Parallel(keeps, Command("empty", 'test -d "$PLANIT_STEP_DIR"', CPU))), tmp_path)
    steps = tmp_path / "logs" / "debug" / "steps"
    assert (steps / "keeps" / "kept").read_text() == "keeps\n"
    assert [path.name for path in steps.iterdir()] == ["keeps"]


def test_nothing_is_left_of_steps_that_keep_nothing(tmp_path: Path) -> None:
    run(Plan("p", Parallel(*(Step(f"s{i}", nothing, CPU) for i in range(20)))), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_step_is_not_run_again_by_asking_for_its_error(tmp_path: Path) -> None:
    record = Recorder(frozenset({"bad"}))
    plan = Plan("p", record.step("bad"))
    (job,) = plan.submit(debug(tmp_path))
    with pytest.raises(StepsFailedError):
        plan.wait()
    assert "bad is broken" in str(job.exception())
    assert record.seen == ["bad"]


def test_a_job_that_was_cancelled_is_not_run(tmp_path: Path) -> None:
    record = Recorder()
    plan = Plan("p", Chain(record.step("a"), record.step("b")))
    jobs = plan.submit(debug(tmp_path))
    jobs[0].cancel()
    with pytest.raises(StepsFailedError) as caught:
        plan.wait()
    assert record.seen == []
    assert "was cancelled" in caught.value.failures["a"]
    assert caught.value.blocked == ("b",)
