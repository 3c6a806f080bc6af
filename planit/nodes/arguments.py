"""Arguments that are built in the job and stay plain data until then."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

TARGET = "_target_"
_NONE = object()
_LOOKED_AT = 100


@dataclass(frozen=True)
class Unbuilt:
    """An argument with a ``_target_`` somewhere inside: what to build, not the built object.

    Attributes:
        content: plain data, as it was in the configuration. Nobody changes it.
    """

    content: Any

    def __repr__(self) -> str:
        return repr(self.content)  # so that a sweep over such values names its steps by them


def has_target(value: Any) -> bool:
    """Whether plain data has a ``_target_`` anywhere."""
    return next(_targets(value), _NONE) is not _NONE


def targets(values: Iterable[Any]) -> list[Any]:
    """Every ``_target_`` that a job builds for these arguments, each once."""
    found = [target for v in values if isinstance(v, Unbuilt) for target in _targets(v.content)]
    return list({repr(target): target for target in found}.values())


def _targets(content: Any) -> Iterator[Any]:
    """Each ``_target_`` in plain data; Hydra builds nothing below one that is not recursive."""
    stack = [(content, True)]
    while stack:
        item, recursive = stack.pop()
        if isinstance(item, Mapping):
            recursive = item.get("_recursive_", recursive)
            if TARGET in item:
                yield item[TARGET]
            if TARGET not in item or recursive:
                stack.extend((inner, recursive) for inner in item.values())
        elif isinstance(item, list | tuple):
            stack.extend((inner, recursive) for inner in item)


def found_inside(value: Any, wanted: Callable[[Any], bool]) -> Any:
    """Something that `wanted` is true of: `value`, or what is in its lists, tuples and dicts."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        if wanted(item):
            return item
        if isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            inner = item.values() if isinstance(item, dict) else item
            stack.extend(islice(inner, _LOOKED_AT))  # an argument may be long
    return None
