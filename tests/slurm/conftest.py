"""A run that takes a minute by Slurm's clock: begun by the first test here, seen by the last.

A time limit has the granularity of a minute, so such tests would cost more than all the others.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import steps
from tests.slurm.tools import note, submit, until

ONE_MINUTE = SlurmArgs(time="1", partition="batch", cpus_per_task=1)
SAVES = SlurmArgs(
    time="1",
    partition="batch",
    cpus_per_task=1,
    max_requeues=1,
    additional_params={"signal": "USR2@30"},
)


@pytest.fixture(scope="session")
def late(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two steps that run out of time, one of which saves itself; each with a step behind it."""
    base = tmp_path_factory.mktemp("late")
    never = base / "never"
    return submit(
        base,
        Parallel(
            Chain(
                Step("too_slow", steps.gate, ONE_MINUTE, str(never), str(base / "slow"), 600),
                note("behind_slow", base / "ran"),
            ),
            Chain(
                Step("saves", steps.Counter(str(base / "saves")), SAVES, str(base / "go")),
                note("behind_saves", base / "ran"),
            ),
        ),
    )


@pytest.fixture(autouse=True)
def _late_runs_begin_first(late: Run) -> None:
    assert Path(late.path).is_dir()


@pytest.fixture(scope="session")
def late_is_warned(late: Run) -> None:
    """The step that saves itself has done so: Slurm may be stopped, and warn nobody."""
    saved = (late.path / "steps/saves/checkpoint.pkl", files_of(late.path, "saves").record(1))
    until(lambda: any(path.exists() for path in saved), 90)
