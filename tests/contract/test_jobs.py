"""planit's jobs do what submitit's own do: both run side by side, and are asked the same."""

from __future__ import annotations

import asyncio
import logging
import pdb
import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import submitit
from submitit.core.core import Job
from submitit.core.utils import UncompletedJobError
from submitit.helpers import as_completed, monitor_jobs

from planit import Parallel, Plan, SlurmArgs, Step, StepsFailedError
from tests.contract import jobs as work
from tests.contract.drivers import ARGS, ON_SLURM
from tests.slurm.tools import until

WORK: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "value": (work.value, ()),
    "nothing": (work.nothing, ()),
    "function": (work.function, ()),
    "fails": (work.fails, ("quite broken",)),
    "without_text": (work.fails_without_text, ()),
    "leaves": (work.leaves, (0,)),
    "unpicklable": (work.unpicklable, ()),
    "prints": (work.prints, ()),
    "environment": (work.environment, ()),
    "cancelled": (work.sleeps, (60,)),
}


@dataclass(frozen=True)
class Both:
    """The jobs of submitit and of planit, by what they run."""

    kind: str
    submitits: dict[str, Any]
    planits: dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    """Everything has ended: nothing is waited for, no debugger opens, no file stays open."""
    remove = logging.Logger.removeHandler

    def remove_and_close(logger: logging.Logger, handler: logging.Handler) -> None:
        remove(logger, handler)
        if type(handler) is logging.FileHandler:  # submitit leaves those of its debug jobs open
            handler.close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging.Logger, "removeHandler", remove_and_close)
        patch.setattr(Job, "_results_timeout_s", 0)
        patch.setattr(pdb, "post_mortem", lambda: None)
        yield


@pytest.fixture(scope="module", params=[ON_SLURM, "local", "debug"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    """The same functions as jobs of both, all ended."""
    kind = request.param
    if kind == "slurm":
        request.getfixturevalue("slurm")
    base = tmp_path_factory.mktemp(kind)
    native = submitit.AutoExecutor(folder=base / "native", cluster=kind)
    native.update_parameters(slurm_partition="batch", slurm_time="5")
    with native.batch():
        jobs = {name: native.submit(func, *args) for name, (func, args) in WORK.items()}
    steps = (Step(name, func, ARGS, *args) for name, (func, args) in WORK.items())
    plan = Plan("p", Parallel(*steps))
    executor = submitit.AutoExecutor(folder=base / "planit", cluster=kind)
    made = Both(kind, jobs, dict(zip(WORK, plan.submit(executor, local={"cpus": 16}), strict=True)))
    for side in (made.submitits, made.planits):
        if kind != "debug":
            until(lambda job=side["cancelled"]: job.state == "RUNNING")  # type: ignore[misc]
        side["cancelled"].cancel()
    if kind == "debug":
        with pytest.raises(StepsFailedError):
            plan.wait()
        for job in jobs.values():
            outcome(job.done)  # which runs it
    else:
        until(lambda: all(job.done(force_check=True) for job in made.planits.values()))
        until(lambda: all(job.done(force_check=True) for job in made.submitits.values()))
    return made


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, or the name of what it raises."""
    try:
        value = call()
    except BaseException as error:
        return type(error).__name__
    if callable(value):
        return value(1)
    return [one(1) if callable(one) else one for one in value] if type(value) is list else value


def copied(job: Any) -> Any:
    return pickle.loads(pickle.dumps(job))


def last_state(job: Any) -> str:
    """Slurm may call a job RUNNING or COMPLETING for a moment when its result is there."""
    end = time.monotonic() + 20
    while (state := job.state.partition(" ")[0]) in ("RUNNING", "COMPLETING"):
        assert time.monotonic() < end, state
        time.sleep(0.2)
    return str(state)


ASKED: dict[str, Callable[[Any], Any]] = {
    "result": lambda job: outcome(job.result),
    "results": lambda job: outcome(job.results),
    "exception": lambda job: outcome(lambda: type(job.exception()).__name__),
    "awaited": lambda job: outcome(lambda: asyncio.run(job.awaitable().result())),
    "state": last_state,
    "done": lambda job: outcome(job.done),
    "submission": lambda job: job.submission().args,
}
# Where planit's jobs differ, and why.
DIFFERS = {
    "submitit's local jobs are FINISHED or INTERRUPTED; planit's have Slurm's states": [
        ("local", name, "state") for name in WORK
    ],
    "what a step returns does not fail it; only `result` says that it cannot be pickled": [
        ("slurm", "unpicklable", "state")
    ],
    "leaving with code 0 is no failure of a step, wherever it runs": [
        (kind, "leaves", how)
        for kind in ("slurm", "local", "debug")
        for how in ("result", "results", "exception", "awaited", "done", "state")
    ],
    "a lock and what environment returns are others in each job": [
        ("debug", "unpicklable", how) for how in ("result", "results", "awaited")
    ],
}
REASONS = {where: why for why, places in DIFFERS.items() for where in places}


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize("name", [name for name in WORK if name != "environment"])
def test_a_job_answers_as_submitits_own(both: Both, name: str, asked: str) -> None:
    ours, theirs = (ASKED[asked](side[name]) for side in (both.planits, both.submitits))
    if reason := REASONS.get((both.kind, name, asked)):
        assert ours is not None or theirs is not None, reason
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", ["value", "fails", "cancelled"])
def test_a_pickled_job_answers_as_before(both: Both, name: str) -> None:
    if both.kind == "debug":
        pytest.skip("submitit's debug jobs hold their result, and cannot be pickled")
    for side in (both.submitits, both.planits):
        assert outcome(copied(side[name]).result) == outcome(side[name].result)


def test_leaving_with_code_0_is_success(both: Both) -> None:
    assert both.planits["leaves"].exception() is None
    assert both.planits["leaves"].result() is None


def test_an_error_has_the_text_and_the_place_of_the_exception(both: Both) -> None:
    for side in (both.submitits, both.planits):
        assert "quite broken" in str(side["fails"].exception())
        with pytest.raises(UncompletedJobError) as caught:
            side["cancelled"].result()
        if both.kind != "local" or side is both.planits:
            assert "cancelled" in str(caught.value).casefold()


def test_what_cannot_be_pickled_is_told_by_the_result_alone(both: Both) -> None:
    job = both.planits["unpicklable"]
    if both.kind == "debug":
        pytest.skip("nothing is pickled")
    assert job.state == "COMPLETED"
    assert "cannot pickle '_thread.lock' object" in str(job.exception())


def test_what_a_job_wrote_is_there(both: Both) -> None:
    """Debug jobs write to this process's own output."""
    if both.kind == "debug":
        pytest.skip("what is printed goes to this process's output")
    for side in (both.submitits, both.planits):
        job = side["prints"]
        assert "to stdout" in job.stdout()
        assert "to stderr" in job.stderr()
        assert job.paths.stdout.read_text() == job.stdout()
        assert job.paths.stderr.read_text() == job.stderr()
        assert side["nothing"].stderr() == ""


@pytest.mark.parametrize("name", [*work.FACTS, "hosts", "torch"])
def test_a_job_finds_the_same_environment(both: Both, name: str) -> None:
    ours, theirs = (side["environment"].result()[name] for side in (both.planits, both.submitits))
    assert ours == theirs


def test_a_job_finds_its_own_id_and_folder(both: Both) -> None:
    for side in (both.submitits, both.planits):
        job = side["environment"]
        assert job.result()["id"] == job.job_id
        if both.kind != "debug" or side is both.planits:  # submitit's debug jobs have no paths
            assert job.result()["folder"] == str(job.paths.folder)


def test_what_is_known_of_a_job(both: Both) -> None:
    ours, theirs = (side["value"].get_info(mode="force") for side in (both.planits, both.submitits))
    if both.kind == "local":
        theirs = {"JobID": both.planits["value"].job_id, "State": "COMPLETED", "NodeList": ""}
    assert ours.keys() == theirs.keys()
    assert ours.get("State") == theirs.get("State")


@pytest.mark.parametrize("number", [0, 1, -1])
def test_a_job_of_one_task_has_one(both: Both, number: int) -> None:
    ours, theirs = both.planits["value"], both.submitits["value"]
    assert (ours.num_tasks, ours.task_id) == (theirs.num_tasks, theirs.task_id) == (1, 0)
    tasks = [outcome(lambda job=job: job.task(number) is job) for job in (ours, theirs)]  # type: ignore[misc]
    assert tasks[0] == tasks[1]


def test_all_that_completed_is_yielded_once(both: Both) -> None:
    for side in (both.submitits, both.planits):
        jobs = [job for name, job in side.items() if name not in ("cancelled", "fails")]
        jobs = [job for job in jobs if both.kind != "debug" or outcome(job.done) is True]
        assert set(as_completed(jobs, timeout=5, poll_frequency=0.1)) == set(jobs)


def test_monitoring_tells_which_jobs_failed(both: Both, capsys: pytest.CaptureFixture[str]) -> None:
    if both.kind == "debug":
        pytest.skip("to monitor a debug job runs it")
    monitor_jobs([both.planits[name] for name in ("value", "fails", "nothing")])
    assert "jobs with indices {1} failed" in capsys.readouterr().out.translate(
        str.maketrans("[]", "{}")
    )


def test_a_cancelled_job_can_be_cancelled_again(both: Both) -> None:
    for side in (both.submitits, both.planits):
        assert outcome(side["cancelled"].cancel) is None


@pytest.mark.slurm
def test_a_job_of_two_tasks_answers_as_submitits_own(slurm: Any, tmp_path: Any) -> None:
    native = submitit.AutoExecutor(folder=tmp_path / "native", cluster="slurm")
    native.update_parameters(slurm_partition="batch", slurm_time="5", nodes=2)
    executor = submitit.AutoExecutor(folder=tmp_path / "planit", cluster="slurm")
    step = Step("two", work.rank, SlurmArgs("5", "batch", nodes=2))
    theirs, (ours,) = native.submit(work.rank), Plan("p", step).submit(executor)
    until(lambda: ours.done(force_check=True) and theirs.done(force_check=True))
    for job in (ours, theirs):
        assert job.results() == [0, 1]
        assert (job.num_tasks, job.task_id, job.exception()) == (2, None, None)
        assert [job.task(i).result() for i in range(2)] == [0, 1]
        assert outcome(job.result) == "AssertionError"
        assert outcome(lambda job=job: job.task(2)) == "ValueError"  # type: ignore[misc]
