"""Runs of these tests freeze no code."""

from __future__ import annotations

import pytest

from tests.helpers import freeze_nothing


@pytest.fixture(autouse=True)
def _no_code_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    freeze_nothing(monkeypatch)
