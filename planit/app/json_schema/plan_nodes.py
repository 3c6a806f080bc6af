"""The schemas of a plan's nodes, each by its ``_target_``, with the keys that `build` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import planit
from planit.app.config.node_keys import (
    EVERY_LEAF,
    GROUPS,
    HYDRAS_OWN,
    LEAVES,
    WITHOUT_ARGUMENTS,
)
from planit.app.json_schema import parameters
from planit.app.json_schema.docstrings import first_line
from planit.app.json_schema.parameters import Parameters
from planit.app.json_schema.pieces import (
    PART,
    Schema,
    has,
    has_any,
    no_text,
    one_of,
    ref,
    target_of,
    targets,
    text,
    value_of,
    when,
)
from planit.nodes.arguments import CONVERSIONS
from planit.nodes.sweep import COMBINATIONS

KINDS = (*LEAVES, *GROUPS)
_PART = r"[^\d\s.\-/()\[\]:,'\"$][^\s.\-/()\[\]:,'\"$]*"
_DOTTED = rf"{_PART}(?:\.{_PART})+"
_IS_DOTTED = "a dotted path: package.module.function"
_PLANITS = r"^planit\."
_SCALARS = ["string", "number", "boolean", "null"]


def keys() -> dict[str, Schema]:
    """A schema for every key of a leaf."""
    program = "dotted path of the function that is decorated with @hydra.main"
    return {
        "name": text("Name of the step, unique in the plan; in steps: by default its key."),
        "func": text(
            "Dotted path of the function that the step calls; what else stands beside it are its"
            " arguments. It is imported when the plan is checked or run.",
            pattern=_DOTTED,
            wrong=_IS_DOTTED,
        ),
        "slurm_args": ref("slurm_args_of_step"),
        "slurm": value_of(
            ["object", "null"],
            "Fields of the SLURM arguments that this step sets on top of slurm_args.",
            **when({"type": "object"}, ref("slurm_changes")),
        ),
        "_args_": value_of(["array", "null"], "Positional arguments of the function."),
        "_target_": {
            "description": "What this is: one of planit's nodes, or the function of a step.",
            "type": "string",
            "examples": [f"planit.{kind}" for kind in KINDS],
        },
        "kwargs": value_of(
            ["object", "null"],
            "More arguments by name, for parameters that are called like a key of the step.",
        ),
        "command": {
            "description": "Text for bash, or a list of words that no shell touches. Its exit code"
            " is the step's. ${dir:STEP} is the folder of an earlier step.",
            "type": ["string", "array"],
            "minLength": 1,
            "minItems": 1,
            "items": {"type": ["string", "number"]},
        },
        "cwd": {
            "description": "Working directory; by default that of the submission.",
            "type": ["string", "null"],
        },
        "env": value_of(
            ["object", "null"],
            "Environment variables on top of the job's own.",
            additionalProperties={"type": _SCALARS},
        ),
        "app": text(
            f"The Hydra program: {program}.",
            pattern=rf"(?!.*\.py$){_DOTTED}",
            wrong=f"the {program}; a file is its script",
        )
        | {"type": ["string", "null"]},
        "script": {
            "description": "The Hydra program's script, instead of app: its path from the working"
            " directory of the submission.",
            "type": ["string", "null"],
            "minLength": 1,
        },
        "overrides": value_of(
            ["array", "null"],
            'What one writes behind `python train.py`, a text each: [model=bert, "lr=${lr}"].',
            items=text(),
        ),
        "over": value_of(
            "object",
            "A list of values for each swept parameter, or Hydra's sweep syntax: range(0,10).",
            minProperties=1,
            additionalProperties={"type": ["array", "string"], "minItems": 1, "minLength": 1},
        ),
        "combine": one_of(
            COMBINATIONS, "product: every value with every other; zip: the first together, and on."
        ),
        "max_concurrent": value_of(
            ["integer", "null"],
            "The most branches that run at once; by default no limit.",
            minimum=1,
        ),
        "_partial_": value_of("boolean", "Hydra's: the step returns functools.partial(func, ...)."),
        "_convert_": one_of(
            CONVERSIONS, "Hydra's: how mappings and lists arrive (none: DictConfig, ListConfig)."
        ),
        "_recursive_": value_of("boolean", "Hydra's: false builds no _target_ in arguments."),
    }


def definitions(
    functions: Mapping[str, Parameters], presets: Iterable[str], steps: Iterable[str]
) -> dict[str, Schema]:
    """The definitions of all nodes.

    Args:
        functions: what is known of the functions of steps, by their dotted paths.
        presets: names of SLURM arguments, which editors offer.
        steps: names of steps, which editors offer.
    """
    own = keys()
    says_nothing = {"not": has_any(["_target_", "func"])}
    made = {
        "slurm_args_of_step": {
            "description": "The SLURM arguments: ${slurm} (main steps), ${cpu} (light steps), the"
            " name of a preset (a file of conf/slurm), or a mapping of their fields.",
            "type": ["string", "object"],
            "minLength": 1,
            "examples": ["${slurm}", "${cpu}", *presets],
            **when({"type": "object"}, ref("slurm_args")),
        },
        "node": {
            "description": "A step by its name in steps, or a node.",
            "type": ["string", "object"],
            "minLength": 1,
            "examples": list(steps),
            **when({"type": "object"}, ref("inline_node")),
        },
        "inline_node": {
            "allOf": [
                ref("kinds"),
                when(says_nothing, has("_target_")),
                when({"anyOf": [_IS_STEP, targets(target_of(LEAVES))]}, has("name")),
            ]
        },
        "step": value_of(
            "object",
            "A step, or any other node.",
            wrong=f"a mapping: a step with func and slurm_args, or one of {_NAMES}",
            **when({"type": "object"}, {"allOf": [ref("kinds"), when(says_nothing, ref("Step"))]}),
        ),
        "part_of_step": value_of(
            ["object", "null"],
            "What changes in a step of the plan that defaults names.",
            properties={key: schema for key, schema in own.items() if key != "_target_"},
        ),
        "kinds": {"allOf": list(_kinds())},
        **{kind: _group(kind, own) for kind in GROUPS},
        **{kind: _leaf(kind, own) for kind in LEAVES},
        **parameters.definitions(functions),
    }
    made["Step"]["allOf"] += [_function(own), *parameters.of_steps(functions)]
    made["Sweep"]["allOf"] += parameters.of_sweeps(functions)
    made["HydraApp"]["allOf"].append(
        when(
            {"properties": {"app": {"type": "string"}}} | has("app"),
            {"properties": {"script": no_text("there is app already")}},
            when({"not": has("script")}, has("app")),
        )
    )
    return made


_NAMES = ", ".join(f"planit.{kind}" for kind in KINDS)
_IS_FUNCTION = targets(rf"^(?!planit\.|{PART})")
_IS_STEP: Schema = {
    "anyOf": [
        targets(target_of(["Step"])),
        _IS_FUNCTION,
        has("func") | {"not": has("_target_")},
    ]
}


def _kinds() -> Iterator[Schema]:
    """What holds for each kind of node, and that there are no others of planit's."""
    known = {"pattern": target_of(KINDS), "patternErrorMessage": f"a node is one of {_NAMES}"}
    yield {"properties": {"_target_": keys()["_target_"]}}
    yield when(targets(r"^planit\."), {"properties": {"_target_": known}})
    yield when(_IS_STEP, ref("Step"))
    for kind in KINDS:
        if kind != "Step":
            yield when(targets(target_of([kind])), ref(kind))


def _group(kind: str, own: Mapping[str, Schema]) -> Schema:
    return {
        "properties": {
            "_target_": _is(kind),
            "_args_": value_of(
                ["array", "null"],
                "The nodes: names of steps, or nodes.",
                items=ref("node"),
            ),
            **{key: own[key] for key in GROUPS[kind]},
        },
        "additionalProperties": False,
    }


def _leaf(kind: str, own: Mapping[str, Schema]) -> Schema:
    needed, optional = LEAVES[kind]
    names = [*needed, *optional, *EVERY_LEAF]
    if kind in WITHOUT_ARGUMENTS:
        names = [name for name in names if name not in ("kwargs", "_args_")]
    else:
        names += HYDRAS_OWN
    made: Schema = {
        "properties": {**{name: own[name] for name in names}, "_target_": _is(kind)},
        "required": [name for name in needed if name not in ("name", "func")],
        "allOf": [
            when({"not": has("slurm")}, {"properties": {"slurm_args": ref("whole_slurm_args")}})
        ],
    }
    if kind == "Sweep":
        made["required"].append("func")
    if kind in WITHOUT_ARGUMENTS:
        made["additionalProperties"] = False
    return made


def _function(own: Mapping[str, Schema]) -> Schema:
    """A step has func, or its function as ``_target_``."""
    path = {"type": "string", "pattern": own["func"]["pattern"], "patternErrorMessage": _IS_DOTTED}
    both = no_text("there is a function in _target_ already")
    return when(_IS_FUNCTION, {"properties": {"func": both, "_target_": path}}, has("func"))


def _is(kind: str) -> Schema:
    return {"description": first_line(getattr(planit, kind))}
