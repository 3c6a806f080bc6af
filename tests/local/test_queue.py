"""What this machine says of its jobs by tag, and what a cancellation could not end."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from planit import Chain, Parallel, Step
from planit.backends.local import client
from planit.backends.local.backend import LocalBackend
from planit.record.jobs import JobRef
from planit.submit.new import NewRun
from tests.contract.drivers import ARGS
from tests.slurm.tools import until


def started(base: Path) -> tuple[LocalBackend, Path]:
    """A run of an array of two tasks and a join, of which one task runs."""
    pair = Parallel(*[Step(f"s{i}", time.sleep, ARGS, 60) for i in range(2)])
    root = Chain(pair, Step("join", time.sleep, ARGS, 0))
    backend = LocalBackend(cpus=1, gpus=0, kill_wait_s=1)
    run, _ = NewRun("p", root, base, backend).start()
    until(lambda: any(view.state == "RUNNING" for view in backend.client.queue(None).values()))
    return backend, run.path


def test_jobs_are_found_by_their_tags_whether_submitted_running_or_ended(tmp_path: Path) -> None:
    waiting = LocalBackend(cpus=1)
    waiting.open_run(tmp_path)
    tag = f"planit:{tmp_path.name}:7.3"
    job = waiting.submit(tmp_path / "script", tag=tag, cluster=None, after=())
    (found,) = waiting.tagged(f"planit:{tmp_path.name}:", [None]).jobs
    assert (found.ref, found.tag, found.live) == (job, tag, True)
    assert waiting.tagged("planit:another:", [None]).jobs == ()
    assert waiting.cancel([job]) == {}
    assert waiting.tagged("planit:", [None]).jobs == ()
    backend, run_path = started(tmp_path)
    prefix = f"planit:{run_path.name}:1."
    found_now = backend.tagged(prefix, [None])
    assert found_now.no_answer == {}
    refs = [JobRef(None, "1.0"), JobRef(None, "1.1")]
    assert [(one.ref, one.tag, one.live) for one in found_now.jobs] == [
        (ref, prefix + ref.job_id.partition(".")[2], True) for ref in refs
    ]
    (run_path / "submissions" / "1.json").unlink()  # the engine knows them all the same
    assert backend.cancel([found_now.jobs[0].ref]) == {}
    assert [one.live for one in backend.tagged(prefix, [None]).jobs] == [False, False]


def test_an_engine_that_does_not_react_is_named_and_the_second_cancel_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_CANCEL_TIMEOUT_S", 0.5)
    backend, _ = started(tmp_path)
    engine = backend.client.engine(1)
    assert engine is not None
    jobs = [JobRef(None, "1.0"), JobRef(None, "1.1")]
    os.kill(engine.pid, signal.SIGSTOP)
    try:
        left = backend.cancel(jobs)
        assert list(left) == jobs
        assert f"the local engine (process {engine.pid}) does not react" in left[jobs[0]]
    finally:
        os.kill(engine.pid, signal.SIGCONT)
    monkeypatch.setattr(client, "_CANCEL_TIMEOUT_S", 20)
    assert backend.cancel(jobs) == {}
    assert not any(one.live for one in backend.tagged("planit:", [None]).jobs)
