"""The tests that Hydra has for every launcher."""

from __future__ import annotations

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

BACKENDS = ("debug", "local")

# They name no version_base, which Hydra warns of where a job runs in this process.
pytestmark = pytest.mark.filterwarnings("ignore:\\s*Future Hydra versions will no longer change")


def own(backend: str) -> list[str]:
    return [f"hydra.launcher.backend={backend}", "hydra.launcher.freeze=off"]


@pytest.mark.parametrize(("launcher_name", "overrides"), [("planit", own(one)) for one in BACKENDS])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("planit", [*own(one), "hydra.sweeper.max_batch_size=2"]) for one in BACKENDS],
)
class TestBatches(BatchedSweeperTestSuite):
    pass


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", "hydra/launcher=planit", *own(one)]) for one in BACKENDS],
)
class TestPrograms(IntegrationTestSuite):
    pass
