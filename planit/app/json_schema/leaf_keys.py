"""The schemas of the keys that the leaves of a plan can have, with what they mean."""

from __future__ import annotations

from collections.abc import Mapping

from planit.app.config.node_keys import GROUPS, LEAVES
from planit.app.json_schema.pieces import Schema, one_of, ref, text, value_of, when
from planit.nodes.arguments import CONVERSIONS
from planit.nodes.sweep import COMBINATIONS

KINDS = (*LEAVES, *GROUPS)
"""The nodes that a plan can have."""

_PART = r"[^\d\s.\-/()\[\]:,'\"$][^\s.\-/()\[\]:,'\"$]*"
_DOTTED = rf"{_PART}(?:\.{_PART})+"
_PROGRAM = "dotted path of the function that is decorated with @hydra.main"
_SCALARS = ["string", "number", "boolean", "null"]

DOTTED_PATH = text(pattern=_DOTTED, wrong="a dotted path: package.module.function")
"""The path of a function."""

_OF_EVERY_LEAF: Mapping[str, Schema] = {
    "name": text("Name of the step, unique in the plan; in steps: by default its key."),
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
}
_OF_FUNCTIONS: Mapping[str, Schema] = {
    "func": {
        **DOTTED_PATH,
        "description": "Dotted path of the function that the step calls; what else stands beside it"
        " are its arguments. It is imported when the plan is checked or run.",
    },
    "_partial_": value_of("boolean", "Hydra's: the step returns functools.partial(func, ...)."),
    "_convert_": one_of(
        CONVERSIONS, "Hydra's: how mappings and lists arrive (none: DictConfig, ListConfig)."
    ),
    "_recursive_": value_of("boolean", "Hydra's: false builds no _target_ in arguments."),
}
_OF_COMMAND: Mapping[str, Schema] = {
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
}
_OF_HYDRA_APP: Mapping[str, Schema] = {
    "app": text(
        f"The Hydra program: {_PROGRAM}.",
        pattern=rf"(?!.*\.py$){_DOTTED}",
        wrong=f"the {_PROGRAM}; a file is its script",
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
}
_OF_SWEEP: Mapping[str, Schema] = {
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
}
_OF_PACKED: Mapping[str, Schema] = {
    "jobs": value_of(
        "integer", "Over how many array tasks the branches of a Parallel are spread.", minimum=1
    ),
}
KEYS: Mapping[str, Schema] = {
    **_OF_EVERY_LEAF,
    **_OF_FUNCTIONS,
    **_OF_COMMAND,
    **_OF_HYDRA_APP,
    **_OF_SWEEP,
    **_OF_PACKED,
}
"""A schema for every key of a leaf."""
