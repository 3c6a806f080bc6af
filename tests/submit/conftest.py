"""Runs of these tests freeze no code: nothing of them is ever started."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_sources_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planit.submit.prepare.take_snapshot", lambda _folder, _modules: None)
