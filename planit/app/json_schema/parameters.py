"""The parameters of the functions that steps call, as schemas."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from planit.app.config.node_keys import EVERY_LEAF, HYDRAS_OWN, LEAVES
from planit.app.json_schema.docstrings import argument_docs
from planit.app.json_schema.pieces import Schema, has, has_any, ref, targets, when
from planit.app.json_schema.python_types import schema_of
from planit.job.annotations import evaluated

_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_PLAIN = (bool, int, float, str)
_GIVEN_OTHERWISE = ("_args_", "kwargs", "_partial_")


@dataclass(frozen=True)
class Parameters:
    """What a function takes by name.

    Attributes:
        schemas: of each parameter.
        needed: those without a default.
        takes_more: whether it takes any other name too.
    """

    schemas: Mapping[str, Schema]
    needed: tuple[str, ...]
    takes_more: bool

    @classmethod
    def of(cls, function: Callable[..., Any]) -> Parameters | None:
        """The parameters of a function or class; None if Python does not know them."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return None
        docs = {**argument_docs(function), **argument_docs(getattr(function, "__init__", None))}
        named = [one for one in signature.parameters.values() if one.kind in _KEYWORDS]
        return cls(
            {
                one.name: _schema(one, evaluated(one.annotation, function), docs.get(one.name))
                for one in named
            },
            tuple(one.name for one in named if one.default is one.empty),
            any(one.kind is one.VAR_KEYWORD for one in signature.parameters.values()),
        )


def definitions(functions: Mapping[str, Parameters]) -> dict[str, Schema]:
    """What the steps of each function can have: ``call.FUNCTION`` and ``sweep.FUNCTION``."""
    made = {}
    for path, parameters in functions.items():
        schemas, more = dict(parameters.schemas), parameters.takes_more
        for prefix, kind in (("call", "Step"), ("sweep", "Sweep")):
            keys = {**schemas, **dict.fromkeys(_own(kind), True)}
            keys["kwargs"] = {"properties": schemas, "additionalProperties": more}
            if kind == "Sweep":
                swept = dict.fromkeys(schemas, True)
                keys["over"] = {"properties": swept, "additionalProperties": more}
            made[f"{prefix}.{path}"] = {"properties": keys, "additionalProperties": more}
    return made


def of_steps(functions: Mapping[str, Parameters]) -> list[Schema]:
    """What holds for a step that calls one of these functions."""
    return [
        when(
            {"anyOf": [_says("func", path), targets(f"^{path.replace('.', '[.]')}$")]},
            {"allOf": [call(path), _needs(parameters, _GIVEN_OTHERWISE)]},
        )
        for path, parameters in functions.items()
    ]


def of_sweeps(functions: Mapping[str, Parameters]) -> list[Schema]:
    """What holds for a Sweep that calls one of these functions."""
    return [when(_says("func", path), _reference(f"sweep.{path}")) for path in functions]


def call(path: str) -> Schema:
    """The keys that a step of this function can have."""
    return _reference(f"call.{path}")


def _own(kind: str) -> tuple[str, ...]:
    needed, optional = LEAVES[kind]
    return (*needed, *optional, *EVERY_LEAF, *HYDRAS_OWN)


def _reference(name: str) -> Schema:
    return ref(quote(name))


def _says(key: str, value: str) -> Schema:
    return {"properties": {key: {"const": value}}} | has(key)


def _needs(parameters: Parameters, otherwise: tuple[str, ...]) -> Schema:
    """The parameters without a default, unless some may be given in another way."""
    own = _own("Step")
    needed = [name for name in parameters.needed if name not in own]
    return when({"not": has_any(otherwise)}, has(*needed)) if needed else {}


def _schema(parameter: inspect.Parameter, annotation: Any, doc: str | None) -> Schema:
    made: Schema = {}
    if annotation is not parameter.empty:
        made = schema_of(annotation, or_null=parameter.default is None)
    shown = inspect.Parameter(parameter.name, parameter.kind, annotation=annotation)
    made["description"] = f"{shown}: {doc}" if doc else str(shown)
    default = parameter.default
    if type(default) in _PLAIN and not (isinstance(default, float) and not math.isfinite(default)):
        made["default"] = default
    return made
