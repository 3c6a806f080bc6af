"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest_plugins = ["tests.cluster.fixtures", "tests.wheel"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the private Slurm, so that ``-m "not slurm"`` runs the rest."""
    for item in items:
        if "slurm" in getattr(item, "fixturenames", ()):
            item.add_marker("slurm")


@pytest.fixture
def empty_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory, so that whatever is left behind shows."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
