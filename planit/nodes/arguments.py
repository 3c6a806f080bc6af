"""Arguments of a configuration: Hydra makes them in the job, and they are plain data until then."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from planit.errors import PlanError, suggest

TARGET = "_target_"
IN_JOB = "${hydra:"
"""Begins what only the job can complete, in a text that is resolved otherwise."""
_NONE = object()
_CONTAINERS = (dict, list, tuple)  # in a tuple: `dict | list` would make an object each time
_LOOKED_AT = 100
_LEAVES = ("Step", "Command", "HydraApp", "Sweep")
FOLDER_HINT = (
    'put both in a Chain, and pass the first one\'s folder: step.dir / "model.pt", or in YAML'
    " ${dir:STEP}/model.pt"
)
_NODES = tuple(f"planit.{name}" for name in (*_LEAVES, "Chain", "Parallel", "Packed"))


class Structured(dict[str, Any]):
    """The content of a structured config: a mapping of which the class is known.

    Attributes:
        cls: the dataclass or attr class.
    """

    def __init__(self, content: Mapping[str, Any], cls: type) -> None:
        super().__init__(content)
        self.cls = cls

    def __copy__(self) -> Structured:
        return Structured(self, self.cls)

    def __reduce__(self) -> Any:
        return Structured, (dict(self), self.cls)


@dataclass(frozen=True)
class Unbuilt:
    """An argument that is made in the job: a mapping or a list, or text that the job completes.

    Attributes:
        content: plain data, as it was in the configuration; a `Structured` where the configuration
            has a type. Nobody changes it.
    """

    content: Any

    def __repr__(self) -> str:
        return repr(self.content)  # so that a sweep over such values names its steps by them


@dataclass(frozen=True)
class Making:
    """How the arguments of a step are made: Hydra's ``_convert_``, ``_recursive_``, ``_partial_``.

    Raises:
        PlanError: a value that `hydra.utils.instantiate` does not take.
    """

    convert: str = "none"
    recursive: bool = True
    partial: bool = False

    def __post_init__(self) -> None:
        if self.convert not in CONVERSIONS:
            raise PlanError(
                f"_convert_ must be {', '.join(CONVERSIONS)}, not {self.convert!r}",
                hint=suggest(str(self.convert), CONVERSIONS),
            )
        for key, value in (("_recursive_", self.recursive), ("_partial_", self.partial)):
            if not isinstance(value, bool):
                raise PlanError(f"{key} must be true or false, not {value!r}")


CONVERSIONS = ("none", "partial", "object", "all")
"""The values of ``_convert_``."""


def has_target(value: Any) -> bool:
    """Whether plain data has a ``_target_`` anywhere."""
    if not isinstance(value, _CONTAINERS):
        return False
    return next(_targets(value), _NONE) is not _NONE


def targets(values: Iterable[Any], *, recursive: bool = True) -> list[Any]:
    """Every ``_target_`` that a job builds for these arguments, each once."""
    if not recursive:
        return []
    found = [target for v in values if isinstance(v, Unbuilt) for target in _targets(v.content)]
    return list({repr(target): target for target in found}.values())


def _targets(content: Any) -> Iterator[Any]:
    """Each ``_target_`` in plain data; Hydra builds nothing below one that is not recursive."""
    stack = [(content, True)]
    while stack:
        item, recursive = stack.pop()
        if isinstance(item, dict):
            recursive = item.get("_recursive_", recursive)
            if TARGET in item:
                yield item[TARGET]
            if TARGET not in item or recursive:
                inside = item.values()
                stack.extend((one, recursive) for one in inside if isinstance(one, _CONTAINERS))
        elif isinstance(item, (list, tuple)):
            stack.extend((one, recursive) for one in item if isinstance(one, _CONTAINERS))


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
                hint=FOLDER_HINT,
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
