"""The schema of what a function's parameter is annotated with, as a plan's file can give it."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from planit.app.json_schema.pieces import WHOLE, Schema

_NAMES = {type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string"}
_LISTS = (list, tuple, set, frozenset, collections.abc.Iterable)
_MAPPINGS = (dict, collections.abc.Mapping)
_CONTAINERS = {"DictConfig": "object", "ListConfig": "array"}  # by name: OmegaConf may be unloaded
_WORDS = {
    "null": "null",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "a mapping",
}


@dataclass(frozen=True)
class _Kind:
    """What a value can be.

    Attributes:
        names: JSON's types; none if it can be anything.
        items: the schema of the elements of a list.
        values: all that it can be, if that is known.
    """

    names: tuple[str, ...] = ()
    items: Schema | None = None
    values: tuple[Any, ...] = ()


_ANYTHING = _Kind()


def schema_of(annotation: Any, *, or_null: bool = False) -> Schema:
    """The schema of an argument; empty where everything is accepted.

    It takes an interpolation too, and a mapping with a ``_target_``, which is built in the job.

    Args:
        annotation: a type, or what `typing` has for one; whatever else means anything.
        or_null: it can be null too.
    """
    kind = _kind(annotation)
    if or_null:
        kind = _any_of([kind, _Kind(("null",))])
    if kind.values:
        built = {"type": ["string", "object"], "pattern": WHOLE, "required": ["_target_"]}
        return {"anyOf": [{"enum": list(kind.values)}, built]}
    if not kind.names:
        return {}
    names = list(dict.fromkeys(kind.names))
    made: Schema = {"type": names}
    if "string" not in names:
        words = " or ".join(_WORDS[name] for name in names)
        made |= {"pattern": WHOLE, "patternErrorMessage": f"{words}, or an interpolation"}
        names.append("string")
    if "object" not in names:
        made["required"] = ["_target_"]
        names.append("object")
    if kind.items:
        made["items"] = kind.items
    return made


def _kind(annotation: Any) -> _Kind:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(args[0])
    if origin is Literal:
        plain = all(isinstance(value, str | int | None) for value in args)
        return _Kind(("string",), None, args) if plain else _ANYTHING
    if origin in (Union, types.UnionType):
        return _any_of(map(_kind, args))
    if hasattr(annotation, "__supertype__"):  # a NewType
        return _kind(annotation.__supertype__)
    annotation = type(None) if annotation is None else annotation
    if isinstance(annotation, type) and annotation in _NAMES:
        return _Kind((_NAMES[annotation],))
    return _of_class(origin or annotation, args)


def _of_class(cls: Any, args: tuple[Any, ...]) -> _Kind:
    """A list, a mapping, a path; anything for every other class."""
    if not isinstance(cls, type):
        return _ANYTHING
    if cls.__name__ in _CONTAINERS:
        return _Kind((_CONTAINERS[cls.__name__],))
    if issubclass(cls, PurePath):
        return _Kind(("string",))
    if issubclass(cls, _MAPPINGS):
        return _Kind(("object",))
    if cls in _LISTS or (cls.__module__ == "collections.abc" and issubclass(cls, _LISTS)):
        same = len(args) == 1 or args[1:] == (...,)
        return _Kind(("array",), schema_of(args[0]) if same else None)
    return _ANYTHING


def _any_of(kinds: Iterable[_Kind]) -> _Kind:
    found = list(kinds)
    if not all(kind.names for kind in found):
        return _ANYTHING
    names = tuple(name for kind in found for name in kind.names)
    items = [kind.items for kind in found if "array" in kind.names]
    values = tuple(value for kind in found for value in kind.values)
    others = [kind for kind in found if not kind.values and kind.names != ("null",)]
    if values and not others:
        has_null = any(kind.names == ("null",) for kind in found)
        return _Kind(names, None, (*values, None) if has_null else values)
    return _Kind(names, items[0] if len(items) == 1 else None)
