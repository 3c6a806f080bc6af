"""Reads JSON that anybody may have written: a value of another type counts as missing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MAX = 8e13  # more than any time in seconds that can be shown, or any memory in bytes


def parse(content: bytes | str) -> Any:
    """The value that a JSON document holds.

    Raises:
        ValueError: it is not whole, not JSON, or nested too deep to be read.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("the JSON is nested too deep") from None


def text(content: Mapping[str, Any], key: str) -> str | None:
    """A text, or None."""
    value = content.get(key)
    return value if isinstance(value, str) else None


def number(content: Mapping[str, Any], key: str) -> float | None:
    """A number, or None; a truth value is not a number, nor is what no planit has written."""
    value: Any = content.get(key)
    if type(value) not in (int, float):  # JSON has no others, and this is quick
        return None
    return value if -_MAX <= value <= _MAX else None  # not for NaN either


def whole(content: Mapping[str, Any], key: str) -> int | None:
    """A whole number, or None."""
    value = number(content, key)
    return value if isinstance(value, int) else None


def mapping(content: Any, key: str) -> Mapping[str, Any]:
    """An object of named values, or an empty one."""
    value = content.get(key) if isinstance(content, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def texts(content: Mapping[str, Any], key: str) -> list[str]:
    """The texts in a list; what is not a text is left out."""
    value = content.get(key)
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []
