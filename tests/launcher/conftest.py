"""Fixtures of the tests of the launcher."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.launcher.hydras_own import (
    as_in_a_new_process,
    hydra_restore_singletons,
    hydra_sweep_runner,
)

__all__ = ["as_in_a_new_process", "hydra_restore_singletons", "hydra_sweep_runner"]


@pytest.fixture(autouse=True)
def _runs_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANIT_RUNS_DIR", str(tmp_path / "runs"))
