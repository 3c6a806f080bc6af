"""Arguments that are built in the job and stay plain data until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from planit.errors import PlanError

TARGET = "_target_"
_NONE = object()
_LOOKED_AT = 100
_NODES = tuple(f"planit.{name}" for name in ("Step", "Command", "Chain", "Parallel", "Sweep"))


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


def refuse_inside(kind: type, args: Iterable[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise PlanError if an argument is a node of a plan (a `kind`), or has one in it."""
    numbered = ((str(number), value) for number, value in enumerate(args))
    named = ((repr(name), value) for name, value in kwargs.items())
    for place, value in (*numbered, *named):
        found = _inside(value, (kind, Unbuilt))
        if isinstance(found, Unbuilt):
            found = next((one for one in targets([found]) if one in _NODES), None)
        if found is not None:
            raise PlanError(
                f"argument {place} is {found}, and steps do not hand on values",
                hint="put both in a Chain, and let the first write a file that the second reads",
            )


def _inside(value: Any, kinds: tuple[type, ...]) -> Any:
    """An instance of `kinds`: `value`, or what is in its lists, tuples and dicts."""
    stack, seen = [value], set()
    while stack:
        item = stack.pop()
        if isinstance(item, kinds):
            return item
        if isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            inner = item.values() if isinstance(item, dict) else item
            stack.extend(islice(inner, _LOOKED_AT))  # an argument may be long
    return None
