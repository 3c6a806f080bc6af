"""The pytest fixture that starts the private Slurm; tests/conftest.py makes it known.

Use `pytest_plugins = ["tests.cluster.fixtures"]` in the topmost conftest.py, once: a second import
of the fixture elsewhere would start a second Slurm.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .cluster import Cluster
from .errors import ClusterError
from .packages import ensure_installed


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A private Slurm for the whole session, with SLURM_CONF pointing at its first cluster.

    Where none can be had the tests are skipped, but on CI (CI=true) they fail: there, a skipped
    test would look like a passed one.
    """
    try:
        ensure_installed()
        cluster = Cluster.start()
    except ClusterError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no private Slurm: {error}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.conf))
        try:
            yield cluster
        finally:
            cluster.stop()
