"""What is asked of a backend while a run is submitted, watched and cancelled, on each of them.

The scheduler in memory, which unit tests use instead of a real one, is one of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, Step, Sweep
from planit.backends.base import Backend
from planit.errors import SubmissionError
from planit.graph import lower
from planit.nodes import Node
from planit.record import history as histories
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.submit.new import NewRun
from tests.contract import work
from tests.contract.drivers import ARGS, ON_SLURM, Driver
from tests.memory import MemoryScheduler
from tests.slurm.tools import until


@pytest.fixture(params=["memory", ON_SLURM, "local-fork"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "memory":
        return MemoryScheduler()
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return Driver(request.param).backend()


def gate(folder: Path, name: str) -> Step:
    return Step(name, work.sleep, ARGS, str(folder / "begun"), 60.0)


def start(backend: Backend, folder: Path, root: Node) -> RunDir:
    return NewRun("p", root, folder / "runs", backend).start()[0]


def test_what_was_submitted_is_found_by_its_tag_until_it_is_cancelled(
    backend: Backend, tmp_path: Path
) -> None:
    sweep = Sweep("s", work.sleep, ARGS, str(tmp_path / "x"), over={"seconds": [60.0, 61.0]})
    run = start(backend, tmp_path, Chain(gate(tmp_path, "first"), sweep))
    jobs = list(histories.read(run).jobs.values())
    assert len(set(jobs)) == 2
    found = backend.tagged(run.tag_prefix(), [None])
    assert {(job.ref, job.tag, job.live) for job in found.jobs} == {
        (jobs[0], run.tag(1, 0), True),
        (jobs[1], run.tag(1, 1), True),
    }
    assert not found.no_answer
    assert backend.tagged(run.tag(1, 1), [None]).jobs[0].ref == jobs[1]
    assert backend.tagged(run.tag(2, 0), [None]).jobs == ()
    assert backend.cancel(jobs) == {}
    until(lambda: not any(job.live for job in backend.tagged(run.tag_prefix(), [None]).jobs))


def test_the_queue_shows_each_task_under_its_key(backend: Backend, tmp_path: Path) -> None:
    sweep = Sweep("s", work.sleep, ARGS, str(tmp_path / "x"), over={"seconds": [60.0, 61.0]})
    run = start(backend, tmp_path, Chain(gate(tmp_path, "first"), sweep))
    history = histories.read(run)
    keys = {str(place.key) for place in history.placements.values()}
    assert len(keys) == 3
    queue = backend.client.queue(None)
    assert keys <= queue.keys()
    assert all(queue[key].is_live and queue[key].key == key for key in keys)
    backend.cancel(history.jobs.values())


def test_a_task_of_an_array_is_cancelled_alone(backend: Backend, tmp_path: Path) -> None:
    over = {"seconds": [60.0, 61.0, 62.0]}
    run = start(backend, tmp_path, Sweep("s", work.sleep, ARGS, str(tmp_path / "x"), over=over))
    (job,) = histories.read(run).jobs.values()
    assert backend.cancel([JobRef(job.cluster, f"{job.job_id}_1")]) == {}

    def live() -> list[bool]:
        queue = backend.client.queue(None)
        tasks = [queue.get(f"{job.job_id}_{i}") for i in range(3)]
        return [task is not None and task.is_live for task in tasks]  # Slurm may forget it at once

    until(lambda: live() == [True, False, True])
    backend.cancel([job])


def test_what_is_gone_already_is_cancelled_without_a_word(backend: Backend, tmp_path: Path) -> None:
    run = start(backend, tmp_path, gate(tmp_path, "a"))
    (job,) = histories.read(run).jobs.values()
    assert backend.cancel([job]) == {}
    assert backend.cancel([job]) == {}


def test_nothing_is_known_of_a_run_that_was_never_submitted(backend: Backend) -> None:
    assert backend.tagged("planit:20260101-000000-000-abcd:", [None]).jobs == ()
    assert backend.client.accounting(None, set()) == {}
    assert backend.max_array_size(None) > 1


def test_a_run_is_seen_waiting_or_running_and_then_cancelled(
    backend: Backend, tmp_path: Path
) -> None:
    root = Chain(gate(tmp_path, "a"), Parallel(gate(tmp_path, "b"), gate(tmp_path, "c")))
    run = Run(start(backend, tmp_path, root).path, backend=backend)
    before = {step.name: step.state.value for step in run.status().steps}
    assert before["a"] in ("PENDING", "RUNNING")
    assert (before["b"], before["c"]) == ("PENDING", "PENDING")
    assert set(run.cancel().steps) == {"a", "b", "c"}
    until(lambda: run.status().is_final)
    assert {step.state.value for step in run.status().steps} == {"CANCELLED"}


def test_a_job_that_is_not_there_is_not_confirmed(backend: Backend, tmp_path: Path) -> None:
    if backend.name == "local":
        pytest.skip("the engine, which is not started yet, takes each stage once")
    run = start(backend, tmp_path, gate(tmp_path, "a"))
    (job,) = histories.read(run).jobs.values()
    prefix = f"{run.tag_prefix()}1."
    backend.confirm(prefix, {run.tag(1, 0): job})
    with pytest.raises(SubmissionError, match="is not there"):
        backend.confirm(prefix, {run.tag(1, 0): JobRef(job.cluster, "999999")})
    with pytest.raises(SubmissionError, match="is not there"):
        backend.confirm(prefix, {run.tag(1, 1): job})
    backend.cancel([job])


def test_the_settings_of_a_backend_are_plain_values(backend: Backend, tmp_path: Path) -> None:
    settings = backend.settings()
    assert json.loads(json.dumps(settings)) == settings
    assert backend.with_settings(settings).settings() == settings
    backend.check(lower(gate(tmp_path, "a")))
