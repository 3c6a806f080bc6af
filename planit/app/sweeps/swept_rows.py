"""The values that the jobs of another sweeper's batch are told apart by, for the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planit.nodes.sweep import swept_value


def values_by_key(overrides: Sequence[Sequence[str]]) -> list[dict[str, str]]:
    """The value of each override of each job, as text."""
    return [
        dict(text.lstrip("+").split("=", 1) for text in row if "=" in text) for row in overrides
    ]


def varying(rows: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Of each job the values that are not the same in all of them."""
    keys = [key for key in rows[0] if len({row.get(key) for row in rows}) > 1]
    return [{key: row[key] for key in keys if key in row} for row in rows]


def swept_rows(overrides: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """The swept parameters of each job: what varies; all that is set where nothing does.

    A sweeper that asks for one job at a time has batches of one.
    """
    rows = values_by_key(overrides)
    found = varying(rows) if any(varying(rows)) else rows
    return [{key: swept_value(text) for key, text in row.items()} for row in found]
