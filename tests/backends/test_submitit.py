"""The seam to submitit: what planit takes from it, and what its users may do with a job.

Fails first when submitit changes. Run with the lowest version that pyproject allows, too.
"""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import submitit
from submitit.core.utils import DelayedSubmission, FailedJobError, UncompletedJobError

from planit import SchedulerError
from planit.backends import submitit_jobs
from planit.backends.executors import view
from planit.backends.submitit_jobs import StepJob
from planit.backends.submitit_versions import chosen_executor
from planit.backends.watcher import ClusterWatcher
from planit.job import payload
from planit.job.call import Call
from planit.job.ending import end_step
from planit.record.call_file import Limits
from planit.record.files import make_dir
from planit.record.jobs import JobRef, JobView
from planit.record.markers import EndMarker, Outcome, StepError
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from tests.helpers import ROOT


@dataclass
class Queue:
    """A client whose answers a test sets."""

    states: dict[str, str] = field(default_factory=dict)
    accounts: dict[str, str] = field(default_factory=dict)
    answers: bool = True
    asked: int = 0
    cancelled: list[JobRef] = field(default_factory=list)
    left: dict[JobRef, str] = field(default_factory=dict)
    source: str = "test"

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        self.asked += 1
        if not self.answers:
            raise SchedulerError("no answer")
        return {key: JobView(key, state) for key, state in self.states.items()}

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        return {key: JobView(key, state) for key, state in self.accounts.items()}

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        self.cancelled += jobs
        return self.left


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    made = TaskFiles(RunDir.create(tmp_path, "p").path, 1, 0, 0)
    make_dir(made.folder)
    return made


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitit_jobs, "_RESULT_TIMEOUT_S", 0.0)


def job_of(files: TaskFiles, client: Queue, key: str = "1", **more: Any) -> StepJob:
    watcher = ClusterWatcher(client, "far")
    script = files.folder / "script.sh"
    return StepJob(files, JobRef("far", key), watcher, name="s", script=script, **more)


def leave(
    files: TaskFiles, value: object, error: str = "", *, rank: int = 0, of: int = 1, ago: float = 0
) -> None:
    """What a rank leaves; the last one ends the step, some seconds after it has returned."""
    outcome = Outcome.FAILED if error else Outcome.SUCCEEDED
    why = StepError("ValueError", error, f"ValueError: {error}") if error else None
    end = EndMarker(outcome, int(bool(error)), ended=time.time() - ago, ranks=of, error=why)
    files.write_report(0, rank, end, payload.pickled_value(value))
    if rank == of - 1:
        end_step(files, 0, max(one.exit_code for one in files.reports(0).values()), job="1")


def test_the_private_name_is_there_and_means_what_it_meant(tmp_path: Path) -> None:
    auto = submitit.AutoExecutor(
        folder=tmp_path, cluster="local", local_python="/opt/python", local_max_num_timeout=4
    )
    inner = chosen_executor(auto)
    assert isinstance(inner, submitit.LocalExecutor)
    assert (view(auto).settings, view(auto).max_requeues) == ({"python": "/opt/python"}, 4)
    debug = submitit.AutoExecutor(folder=tmp_path, cluster="debug")
    assert isinstance(chosen_executor(debug), submitit.DebugExecutor)


def test_no_other_private_name_of_submitit_is_used() -> None:
    """Those that start with an underscore behind a name that comes from submitit."""
    found = []
    for path in (ROOT / "planit").rglob("*.py"):
        text = path.read_text()
        if "submitit" in text and path.name != "submitit_versions.py":
            found += re.findall(r"\b(?!self\b|cls\b|os\b|threading\b|atexit\b)\w+\._[a-z]\w+", text)
    assert found == []


def test_results_and_log_are_those_of_the_step(files: TaskFiles) -> None:
    job = job_of(files, Queue({"1": "RUNNING"}))
    assert isinstance(job, submitit.SlurmJob)
    assert (job.job_id, job.task_id, job.num_tasks, job.task(0)) == ("1", 0, 1, job)
    assert (job.done(), job.state, job.stdout()) == (False, "RUNNING", None)
    files.log().write_text("hello\n")
    leave(files, [3])
    assert job.done()
    assert (job.result(), job.results(), job.exception()) == ([3], [[3]], None)
    assert job.stdout() == job.stderr() == "hello\n"
    assert job.paths.submission_file == files.folder / "script.sh"
    job.wait()
    assert asyncio.run(job.awaitable().result()) == [3]


def test_a_result_is_kept_however_long_the_process_takes_to_end(files: TaskFiles) -> None:
    leave(files, [3], ago=5)
    assert job_of(files, Queue()).result() == [3]


def test_a_result_that_is_all_in_the_end_marker_is_not_unpickled(
    files: TaskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(pickle, "loads")
    end = EndMarker(Outcome.SUCCEEDED, ended=time.time(), result={"loss": 0.5})
    files.write_report(0, 0, end, b"")
    end_step(files, 0, 0, job="1")
    assert job_of(files, Queue()).result() == {"loss": 0.5}


def test_a_result_that_cannot_be_pickled_is_told_and_does_not_fail_the_step(
    files: TaskFiles, capsys: pytest.CaptureFixture[str]
) -> None:
    job = job_of(files, Queue())
    leave(files, threading.Lock())
    assert "what the step returned cannot be pickled: TypeError" in capsys.readouterr().out
    with pytest.raises(
        UncompletedJobError, match=r"succeeded, but .* cannot pickle '_thread.lock'"
    ):
        job.result()
    assert files.final_outcome() is Outcome.SUCCEEDED


def test_a_failed_step_raises_its_traceback(files: TaskFiles) -> None:
    job = job_of(files, Queue())
    leave(files, None, "quite broken")
    with pytest.raises(FailedJobError, match="quite broken"):
        job.result()
    assert isinstance(job.exception(), FailedJobError)
    assert str(files.log()) in str(job.exception())


@pytest.mark.usefixtures("quick")
def test_a_job_that_ended_without_a_result_is_uncompleted(files: TaskFiles) -> None:
    job = job_of(files, Queue({"1": "TIMEOUT"}))
    files.log().write_text("not done\n")
    with pytest.raises(UncompletedJobError, match=r"\(TIMEOUT\); it wrote:\nnot done"):
        job.result()
    assert isinstance(job.exception(), UncompletedJobError)


def test_several_ranks_have_a_job_each(files: TaskFiles) -> None:
    job = job_of(files, Queue({"1": "RUNNING"}), ranks=3)
    assert (job.num_tasks, job.task_id) == (3, None)
    assert [job.task(i).task_id for i in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="between 0 and 2"):
        job.task(3)
    assert (job.done(), job.stdout()) == (False, None)
    for rank in range(3):
        files.log(rank).write_text(f"rank {rank}\n")
        leave(files, None, "value 1" if rank == 1 else "", rank=rank, of=3)
    assert job.done()
    assert "value 1" in str(job.exception())
    with pytest.raises(FailedJobError, match="value 1"):
        job.results()
    for rank in range(3):
        leave(files, f"value {rank}", rank=rank, of=3)
    assert job.results() == ["value 0", "value 1", "value 2"]
    assert asyncio.run(job.awaitable().results()) == ["value 0", "value 1", "value 2"]
    with pytest.raises(AssertionError, match="results"):
        job.result()
    assert job.stdout() == "rank 0\n\nrank 1\n\nrank 2\n"


def test_the_call_can_be_read_again_as_submitit_has_it(files: TaskFiles) -> None:
    calls = {"s": Call(max, (2, 3), {"key": abs})}
    job = job_of(files, Queue())
    payload.dump(calls, Limits(60, 2)).write(job.paths.submitted_pickle)
    read = job.submission()
    assert isinstance(read, DelayedSubmission)
    assert read.result() == 3
    assert (read.function, read.args, read.kwargs) == (max, (2, 3), {"key": abs})


def test_a_pickled_job_goes_on_where_it_was(files: TaskFiles) -> None:
    job = pickle.loads(pickle.dumps(job_of(files, Queue({"1": "RUNNING"}))))
    assert (job.state, repr(job)) == ("RUNNING", 'StepJob<job_id=1, task_id=0, state="RUNNING">')
    job.watcher.client.states["1"] = "FAILED"
    assert job.done(force_check=True)


def test_cancel_is_for_the_jobs_own_cluster_and_tells_what_is_left(files: TaskFiles) -> None:
    client = Queue({"1": "RUNNING"})
    job = job_of(files, client)
    job.cancel()
    assert client.cancelled == [JobRef("far", "1")]
    client.left = {JobRef("far", "1"): "still RUNNING"}
    job.cancel(check=False)
    with pytest.raises(SchedulerError, match="1@far: still RUNNING"):
        job.cancel()


def test_a_job_can_be_cancelled_when_it_is_no_longer_held(files: TaskFiles) -> None:
    client = Queue({"1": "RUNNING"})
    job_of(files, client).cancel_at_deletion()
    assert client.cancelled == [JobRef("far", "1")]


def test_all_jobs_of_a_cluster_are_asked_for_in_one_call() -> None:
    client = Queue({"1": "RUNNING", "2": "PENDING"}, accounts={"3": "FAILED"})
    watcher = ClusterWatcher(client, None)
    for key in "123":
        watcher.register_job(key)
    assert [watcher.get_state(key) for key in "123"] == ["RUNNING", "PENDING", "FAILED"]
    assert watcher.get_info("3") == {"JobID": "3", "State": "FAILED", "NodeList": ""}
    assert client.asked == 1
    client.states["1"] = "COMPLETED"
    assert not watcher.is_done("1", mode="cache")
    assert watcher.is_done("1", mode="force")
    client.states.clear()
    assert watcher.get_state("1", mode="force") == "COMPLETED"  # an end stays one


@pytest.mark.parametrize(
    ("state", "ended"),
    [
        *[(state, False) for state in ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED")],
        *[(state, False) for state in ("COMPLETING", "PREEMPTED", "REQUEUED", "UNKNOWN")],
        *[(state, True) for state in ("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL")],
        *[(state, True) for state in ("OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")],
    ],
)
def test_only_a_state_that_stays_is_an_end(state: str, ended: bool) -> None:
    assert ClusterWatcher(Queue({"1": state}), None).is_done("1") == ended


def test_without_any_answer_a_job_is_lost_but_not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    client = Queue(answers=False)
    watcher = ClusterWatcher(client, None)
    assert watcher.get_state("1", mode="force") == "UNKNOWN"
    now += 1000
    assert watcher.get_state("1", mode="force") == "UNKNOWN"  # nobody said that it is gone
    client.answers = True
    assert watcher.get_state("1", mode="force") == "UNKNOWN"
    now += 119
    assert not watcher.is_done("1", mode="force")
    client.states["1"] = "RUNNING"  # it was there all the time: the two minutes begin again
    assert watcher.get_state("1", mode="force") == "RUNNING"
    client.states.clear()
    now += 60
    assert watcher.get_state("1", mode="force") == "UNKNOWN"
    now += 120
    assert watcher.get_state("1", mode="force") == "LOST"
    assert watcher.is_done("1")


def test_the_queue_is_asked_every_few_seconds_and_at_once_for_a_new_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    client = Queue({"1": "RUNNING", "2": "RUNNING"})
    watcher = ClusterWatcher(client, None)
    asked = []
    for seconds in (0, 1.9, 0.1, 100, 4.9, 0.1):
        now += seconds
        watcher.get_state("1")
        asked.append(client.asked)
    assert asked == [1, 1, 2, 3, 3, 4]
    watcher.register_job("2")
    assert watcher.get_state("2") == "RUNNING"
    assert client.asked == 5
