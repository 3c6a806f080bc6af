"""Reads fields of JSON that anybody may have written: a value of another type counts as missing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def text(content: Mapping[str, Any], key: str) -> str | None:
    """A text, or None."""
    value = content.get(key)
    return value if isinstance(value, str) else None


def number(content: Mapping[str, Any], key: str) -> float | None:
    """A number, or None; a truth value is not a number."""
    value = content.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def whole(content: Mapping[str, Any], key: str) -> int | None:
    """A whole number, or None."""
    value = content.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(content: Any, key: str) -> Mapping[str, Any]:
    """An object of named values, or an empty one."""
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def texts(content: Mapping[str, Any], key: str) -> list[str]:
    """The texts in a list; what is not a text is left out."""
    value = content.get(key)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
