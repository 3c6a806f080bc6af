"""A run that takes a minute by Slurm's clock: begun with the first test, whichever looks at it.

A time limit has the granularity of a minute, so such tests would cost more than all the others.
"""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture
def slurm_alone(slurm: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster of the test's own, for one that takes nodes down: others have jobs on those."""
    cluster = Cluster.start()
    monkeypatch.setenv("SLURM_CONF", str(cluster.conf))
    try:
        yield cluster
    finally:
        cluster.stop()


def is_looked_at(session: pytest.Session) -> bool:
    """Whether a test of this session needs the late run."""
    return any("late" in getattr(item, "fixturenames", ()) for item in session.items)


@pytest.fixture(scope="session", autouse=True)
def _late_begins_early(request: pytest.FixtureRequest) -> None:
    """Begin it with the first test here, whichever that is."""
    if is_looked_at(request.session):
        request.getfixturevalue("late")


@pytest.fixture(scope="session")
def late_is_warned(request: pytest.FixtureRequest, _late_begins_early: None) -> None:
    """If it was begun, the step that saves itself has done so: a stopped Slurm warns nobody."""
    if is_looked_at(request.session):
        late: Run = request.getfixturevalue("late")
        saved = (late.path / "steps/saves/checkpoint.pkl", files_of(late.path, "saves").record(1))
        until(lambda: any(path.exists() for path in saved), 90)
