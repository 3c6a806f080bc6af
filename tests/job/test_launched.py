"""A job of the launcher, as the rest of planit sees it."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
from omegaconf import OmegaConf

from planit.job.hydra.launched import JobConfig, LaunchedRun, RestartedRun
from planit.job.payload import can_checkpoint


def program(config: Any) -> None:
    """A task function."""


def test_only_a_job_that_may_be_requeued_can_checkpoint_and_then_it_begins_anew() -> None:
    job = JobConfig(OmegaConf.create({"lr": 1}), ["lr=1"])
    assert not can_checkpoint(LaunchedRun.of(program, None))
    run = pickle.loads(cloudpickle.dumps(RestartedRun.of(program, None)))
    assert can_checkpoint(run)
    saved = run.checkpoint(job)
    assert (saved.function, saved.args) == (run, (job,))


def test_it_is_shown_by_the_program_and_the_overrides() -> None:
    assert repr(LaunchedRun.of(program, None)) == "<program>"
    assert repr(JobConfig(OmegaConf.create({}), ["lr=1", "+model=a"])) == "lr=1 +model=a"
