"""Fixtures that all tests share."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.cluster.fixtures", "tests.wheel"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the private Slurm, so that ``-m "not slurm"`` runs the rest."""
    for item in items:
        fixtures = getattr(item, "_fixtureinfo", None)  # nothing public tells a fixture's module
        found = fixtures.name2fixturedefs.get("slurm", ()) if fixtures is not None else ()
        if any(one.func.__module__ == "tests.cluster.fixtures" for one in found[-1:]):
            item.add_marker("slurm")


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What planit keeps for a user, such as where runs are, does not go to a developer's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def level_of_logging() -> Iterator[None]:
    """Hydra's job logging, where a test has it run in this process, stays with that test."""
    root = logging.getLogger()
    level = root.level
    yield
    root.setLevel(level)


@pytest.fixture
def empty_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory, so that whatever is left behind shows."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
