"""The schemas of SLURM arguments: the fields of `SlurmArgs`, submitit's names, and a preset."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any, get_type_hints

from planit.app.config.node_keys import PLAN_KEYS
from planit.app.json_schema.docstrings import argument_docs
from planit.app.json_schema.pieces import (
    Schema,
    has,
    has_any,
    one_of,
    ref,
    target_of,
    targets,
    text,
    value_of,
    when,
)
from planit.nodes import MailType, SlurmArgs, walltime
from planit.nodes.resources import GENERIC, KNOWN_OPTIONS
from planit.nodes.slurm_args import MINIMA
from planit.nodes.step_environment import RUNTIMES

_TIME = "slurm_time"
_TYPED_GPUS = r"^[A-Za-z][\w.-]*:[1-9]\d*$"
_IS_SLURM = target_of(["SlurmArgs"])


def definitions(defaults: Collection[str] | None) -> dict[str, Schema]:
    """The definitions that the schemas of steps and presets refer to.

    Args:
        defaults: the fields in ``slurm_defaults``, which need not be set anywhere else; None if
            they are not known, so that no field can be missed.
    """
    fields = slurm_fields()
    needed = has(*(() if defaults is None else (n for n in _needed() if n not in defaults)))
    target = {
        "description": "planit.SlurmArgs, which is what this is also without it.",
        "examples": ["planit.SlurmArgs"],
        "type": "string",
        "pattern": _IS_SLURM,
        "patternErrorMessage": "SLURM arguments are planit.SlurmArgs",
    }
    submitits: Schema = {
        f"^slurm_(?:{'|'.join(sorted({*GENERIC, *KNOWN_OPTIONS} - {'time'}))})$": {}
    }
    submitits["^slurm_time$"] = ref("time")
    return {
        "time": _time(),
        "slurm_changes": {
            "type": "object",
            "properties": fields,
            "patternProperties": {"^slurm_": {}},
            "additionalProperties": False,
        },
        "slurm_args": {
            "type": "object",
            **when(
                has(_TIME),
                {
                    "properties": {"_target_": target, **{name: {} for name in sorted(GENERIC)}},
                    "patternProperties": submitits,
                    "additionalProperties": False,
                },
                {"properties": {"_target_": target, **fields}, "additionalProperties": False},
            ),
        },
        "whole_slurm_args": when({"type": "object", "not": has(_TIME)}, needed),
        "preset": {
            "description": "A preset: the SLURM arguments of steps, by name.",
            "type": "object",
            "properties": {"_target_": target, "defaults": ref("defaults"), **fields},
            "patternProperties": submitits,
            "additionalProperties": False,
            **when({"not": has_any([_TIME, "defaults"])}, needed),
        },
    }


def is_preset() -> Schema:
    """What the file of a preset is told apart by from that of a plan."""
    only_here = [name for name in slurm_fields() if name not in PLAN_KEYS]
    is_plan = has_any([*(key for key in PLAN_KEYS if key != "_target_"), "plan"])
    return {"anyOf": [{**has_any([*only_here, _TIME]), "not": is_plan}, targets(_IS_SLURM)]}


def slurm_fields() -> dict[str, Schema]:
    """A schema for each field of `SlurmArgs`.

    Raises:
        KeyError: a field has a type that nothing here has a schema for, or no description.
    """
    docs, hints = argument_docs(SlurmArgs), get_type_hints(SlurmArgs)
    made: dict[str, Schema] = {}
    for field in dataclasses.fields(SlurmArgs):
        can_be_unset = field.name not in _needed()
        shown = _field(field.name, hints[field.name])
        if can_be_unset and isinstance(shown.get("type"), list):
            shown["type"].append("null")
        elif can_be_unset and shown.get("type") == "string":
            shown["type"] = ["string", "null"]
        if isinstance(field.default, int):
            shown["default"] = field.default
        made[field.name] = {"description": _sentence(docs[field.name]), **shown}
    return made


def _field(name: str, hint: Any) -> Schema:
    special = {"time": _time, "mail_type": _mail, "gpus_per_node": _gpus, "container": _container}
    if name in special:
        return special[name]()
    values = {"type": ["string", "number", "null"]}
    by_type: dict[Any, Schema] = {
        str: text(),
        str | None: text(),
        bool: value_of("boolean"),
        list[str]: {"type": ["array", "string"], "items": {"type": "string"}},
        dict[str, str]: value_of("object", additionalProperties=values),
        dict[str, Any]: value_of("object"),
        int: value_of("integer", minimum=MINIMA.get(name)),
        int | None: value_of("integer", minimum=MINIMA.get(name)),
    }
    return by_type[hint]


def _mail() -> Schema:
    events = [str(event) for event in MailType]
    listed = one_of([*events, *map(str.lower, events)], "")
    return {"type": ["array", "string"], "items": listed, "examples": [["END", "FAIL"]]}


def _gpus() -> Schema:
    """A number, or with a type."""
    made = value_of("integer", minimum=MINIMA["gpus_per_node"])
    return made | {"pattern": rf"{made['pattern']}|{_TYPED_GPUS}"}


def _container() -> Schema:
    """An image, or a mapping with one."""
    listed: Schema = {"type": ["array", "string"], "items": {"type": "string"}}
    keys: Schema = {
        "image": text("What the step runs in: a file, or a name that the runtime knows."),
        "runtime": one_of(RUNTIMES, "What runs it; by default apptainer."),
        "mounts": listed | {"description": "What is seen in it: SOURCE:TARGET each."},
        "nv": value_of("boolean", "Whether it sees the GPUs of the node (Apptainer's --nv)."),
        "args": listed | {"description": "Further options of the runtime."},
    }
    return {"type": ["object", "string"], "properties": keys, "additionalProperties": False}


def _needed() -> list[str]:
    """The fields that have no default."""
    return [
        field.name
        for field in dataclasses.fields(SlurmArgs)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]


def _time() -> Schema:
    wrong = (
        f'a wall time in quotes: "04:00:00"; its forms are {walltime.FORMS} (a bare 12:00:00 is the'
        " number 43200 to Hydra, as YAML reads it in base 60)"
    )
    description = f"Wall time, in quotes: {walltime.FORMS}."
    return text(description, pattern=rf"(?=.*[1-9])(?:{walltime.PATTERN})", wrong=wrong) | {
        "errorMessage": wrong,
    }


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]
