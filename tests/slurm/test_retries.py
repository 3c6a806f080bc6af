"""Retries on a real Slurm: the job goes back into the queue, and what waits for it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import retry_steps
from tests.slurm.tools import lines, note, of_run, settled, submit

pytestmark = pytest.mark.slurm
ERROR = {"error": {"times": 2, "on": ["ConnectionError"]}}


def args(retry: Any, time: str = "5", **more: Any) -> SlurmArgs:
    return SlurmArgs(time=time, partition="batch", cpus_per_task=1, retry=retry, **more)


def record(run: Run, step: str, restart: int) -> dict[str, Any]:
    text = files_of(run.path, step).record(restart).read_text().splitlines()[0]
    found: dict[str, Any] = json.loads(text)
    return found


def test_an_error_twice_and_then_fine_starts_what_waits_once_after_the_success(
    slurm: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    flaky = Step("flaky", retry_steps.flaky, args(ERROR), str(tmp_path / "tries"), 2)
    with_setup = args(ERROR, setup=["true"])
    other = Step("lines", retry_steps.flaky, with_setup, str(tmp_path / "tries_b"), 1)
    run = submit(tmp_path, Chain(Parallel(flaky, other), note("behind", ran)))
    job = of_run(run, "flaky")
    assert settled(run, 90) == {"flaky": "DONE", "lines": "DONE", "behind": "DONE"}
    assert lines(tmp_path / "tries") == ["try 1", "try 2", "try 3"]
    assert lines(ran) == ["behind"]
    assert of_run(run, "flaky") == job
    first = record(run, "flaky", 0)
    assert (first["outcome"], first["cause"]) == ("requeued", "error")
    assert first["error"]["type"] == "ConnectionResetError"
    assert (first["retry"]["number"], first["retry"]["total"]) == (2, 3)
    assert record(run, "flaky", 1)["retry"]["number"] == 3
    log = files_of(run.path, "flaky").log().read_text()
    assert "planit: an error: attempt 2 of 3 follows" in log
