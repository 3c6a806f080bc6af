"""What of a step's return value its record holds as JSON, so that anybody can read it.

Plain data are numbers, text, booleans, None, and lists and mappings of them with text keys. NaN and
the infinities are numbers: they are written as Python's `json` does (``NaN``, ``-Infinity``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

MAX_BYTES = 64 * 1024  # of JSON
_MAX_DEPTH = 100
_SCALARS = (bool, int, float, str)


class PlainData(NamedTuple):
    """A value as plain data.

    Attributes:
        value: made of dict, list, str, int, float, bool and None only.
        exact: whether the original consists of these types too, so that nothing is lost; not so for
            a tuple, which becomes a list, or a scalar of numpy's.
    """

    value: Any
    exact: bool


class _OtherError(Exception):
    """Something is not plain data, or there is too much of it."""


def plain_data(value: Any) -> PlainData | None:
    """A value as plain data; None if it is not, or takes more than `MAX_BYTES` as JSON."""
    copier = _Copier()
    try:
        made = copier.copied(value, _MAX_DEPTH)
        if len(json.dumps(made)) > MAX_BYTES:
            return None
    except Exception:  # what the user's own mappings and scalars raise, or a number is too long
        return None
    return PlainData(made, copier.exact)


class _Copier:
    """Copies a value, and gives up as soon as it is known to be too large."""

    def __init__(self) -> None:
        self.exact = True
        self._left = MAX_BYTES

    def copied(self, value: Any, depth: int) -> Any:
        kind = type(value)
        self._left -= len(value) if kind is str else 1
        if self._left < 0 or depth == 0:
            raise _OtherError
        if value is None or kind in _SCALARS:
            return value
        if isinstance(value, Mapping):
            self.exact &= kind is dict
            return {self._key(key): self.copied(item, depth - 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            self.exact &= kind is list
            return [self.copied(item, depth - 1) for item in value]
        self.exact = False
        return _scalar(value)

    def _key(self, key: Any) -> str:
        if not isinstance(key, str):
            raise _OtherError
        self.exact &= type(key) is str
        self._left -= len(key)
        return str.__str__(key)


def _scalar(value: Any) -> Any:
    """What a scalar of numpy's, or of a subclass of Python's own, is in Python."""
    if getattr(value, "ndim", None) == 0 and hasattr(value, "dtype"):
        value = value.item()
        if type(value) not in _SCALARS:
            raise _OtherError
        return value
    for kind in _SCALARS[1:]:
        if isinstance(value, kind):
            return getattr(kind, "__str__" if kind is str else f"__{kind.__name__}__")(value)
    raise _OtherError
