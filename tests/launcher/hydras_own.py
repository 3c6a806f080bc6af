"""What Hydra's own tests of launchers need; its plugin for pytest is off, as few tests need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hydra import version
from hydra.core.plugins import Plugins
from hydra.extra.pytest_plugin import hydra_restore_singletons, hydra_sweep_runner
from packaging.version import Version

from planit.job.hydra.internals import VERSION_BASE

__all__ = ["as_in_a_new_process", "hydra_restore_singletons", "hydra_sweep_runner"]


@pytest.fixture(autouse=True)
def as_in_a_new_process() -> Iterator[None]:
    """Hydra as it is before other tests use it, but for its plugins, which it loads only once.

    Hydra 1.3 takes what names no version_base as 1.1; 1.4 has no version_base.
    """
    Plugins.instance()
    before = version.getbase()
    if VERSION_BASE:
        base = version.VersionBase.instance()  # the function of the same name warns
        base.setbase(Version("1.1"))
    yield
    if VERSION_BASE:
        version.VersionBase.instance().version_base = before
