"""Whether arguments are what a function's parameters are annotated with, where that is obvious.

Only plain values are compared (None, numbers, text, lists, mappings) and only with annotations that
are about such. Whatever else stands in an annotation takes anything, and so does a value that the
job builds.
"""

from __future__ import annotations

import collections.abc
import inspect
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from planit.nodes.arguments import IN_JOB, TARGET, Structured, Unbuilt

_NUMBERS: dict[type, tuple[type, ...]] = {
    int: (int,),
    float: (int, float),
    complex: (int, float, complex),
}
_PLAIN = (type(None), bool, int, float, complex, str, list, tuple, dict)
_LISTS = (list, tuple, set, frozenset)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)
_SEQUENCES = (
    collections.abc.Sequence,
    collections.abc.Iterable,
    collections.abc.Collection,
    collections.abc.Set,
)


class Mismatch(NamedTuple):
    """An argument that is not of its parameter's type.

    Attributes:
        place: the parameter's name, or the number of an argument that is given by position.
        value: what is given.
        wanted: the annotation, as Python writes it.
    """

    place: str | int
    value: Any
    wanted: str


class Annotations:
    """The annotations of functions, each read once."""

    def __init__(self) -> None:
        self._read: dict[int, tuple[Any, inspect.Signature | None]] = {}

    def mismatches(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> list[Mismatch]:
        """The arguments of a call that are obviously of another type.

        None if the function has no signature, or would not take the arguments at all.
        """
        signature = self._signature(function)
        if signature is None:
            return []
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return []
        return list(_compared(signature, bound, len(args)))

    def _signature(self, function: Callable[..., Any]) -> inspect.Signature | None:
        key = id(function)
        if key not in self._read:  # with the function, so that no other one gets its id
            self._read[key] = (function, _evaluated_signature(function))
        return self._read[key][1]


def evaluated(annotation: Any, function: Callable[..., Any]) -> Any:
    """An annotation that may be text; none if it names what only type checkers import."""
    if not isinstance(annotation, str):
        return annotation

    def holder() -> None: ...

    holder.__annotations__ = {"it": annotation}
    module = sys.modules.get(getattr(inspect.unwrap(function), "__module__", ""))
    try:
        return inspect.get_annotations(holder, globals=vars(module), eval_str=True)["it"]
    except Exception:  # it is any expression of the user's
        return inspect.Parameter.empty


def accepts(annotation: Any, value: Any) -> bool:
    """Whether an annotation may be about a value; False only where it certainly is not."""
    if isinstance(value, Unbuilt):
        value = value.content
    if not isinstance(value, _PLAIN) or _is_built(value):
        return True
    return any(_one_accepts(one, value) for one in _alternatives(annotation))


def _alternatives(annotation: Any) -> Iterator[Any]:
    """The types of a Union, of what is Annotated, and behind a NewType."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        for one in args:
            yield from _alternatives(one)
    elif origin is Annotated:
        yield from _alternatives(args[0])
    elif hasattr(annotation, "__supertype__"):
        yield from _alternatives(annotation.__supertype__)
    else:
        yield annotation


def _one_accepts(annotation: Any, value: Any) -> bool:
    cls, args = get_origin(annotation) or annotation, get_args(annotation)
    if cls is Literal:
        return value in args or not all(isinstance(one, _PLAIN) for one in args)
    if cls is None or cls is type(None):
        return value is None
    if cls in _MAPPINGS:
        return isinstance(value, dict) and (len(args) != 2 or _all(args[1], value.values()))
    if cls in _LISTS or cls in _SEQUENCES:
        return _list_accepts(cls, args, value)
    return not isinstance(cls, type) or _class_accepts(cls, value)


def _list_accepts(cls: Any, args: tuple[Any, ...], value: Any) -> bool:
    if isinstance(value, str | dict):  # Python takes them for sequences too
        return cls in _SEQUENCES
    same = len(args) == 1 or args[1:] == (...,)
    return isinstance(value, list | tuple) and (not same or _all(args[0], value))


def _class_accepts(cls: type, value: Any) -> bool:
    """A class that is about plain values; every other one takes anything."""
    if cls is bool:
        return isinstance(value, bool) or value in (0, 1)
    if cls is str or issubclass(cls, PurePath):
        return isinstance(value, str)
    return cls not in _NUMBERS or isinstance(value, _NUMBERS[cls])


def _all(annotation: Any, values: collections.abc.Iterable[Any]) -> bool:
    return all(accepts(annotation, value) for value in values)


def _is_built(value: Any) -> bool:
    """Whether the job makes something else of it."""
    if isinstance(value, str):
        return IN_JOB in value
    return isinstance(value, Structured) or (isinstance(value, dict) and TARGET in value)


def _evaluated_signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return signature.replace(
        parameters=[
            one.replace(annotation=evaluated(one.annotation, function))
            for one in signature.parameters.values()
        ]
    )


def _compared(
    signature: inspect.Signature, bound: inspect.BoundArguments, by_position: int
) -> Iterator[Mismatch]:
    number = 0
    for name, value in bound.arguments.items():
        parameter = signature.parameters[name]
        given: list[tuple[str | int, Any]]
        if parameter.kind is parameter.VAR_KEYWORD:
            given = [(str(key), one) for key, one in value.items()]
        elif parameter.kind is parameter.VAR_POSITIONAL:
            given = [(number + at, one) for at, one in enumerate(value)]
        else:
            given = [(number if number < by_position else name, value)]
        number += 1
        if parameter.annotation is parameter.empty:
            continue
        for place, one in given:
            is_default = one is None and parameter.default is None
            if not is_default and not accepts(parameter.annotation, one):
                yield Mismatch(place, one, inspect.formatannotation(parameter.annotation))
