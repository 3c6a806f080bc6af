"""Hydra's own fixtures; its plugin for pytest is off, as few tests need it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.extra.pytest_plugin import hydra_restore_singletons, hydra_sweep_runner

__all__ = ["hydra_restore_singletons", "hydra_sweep_runner"]


@pytest.fixture(autouse=True, scope="session")
def _plugins_are_loaded() -> None:
    """Hydra loads them once, and what the first test restores must have what they store."""
    Plugins.instance()


@pytest.fixture(autouse=True)
def _runs_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANIT_RUNS_DIR", str(tmp_path / "runs"))
