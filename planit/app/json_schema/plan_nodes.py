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
from planit.app.json_schema.leaf_keys import DOTTED_PATH, KEYS, KINDS
from planit.app.json_schema.parameters import Parameters
from planit.app.json_schema.pieces import (
    PART,
    Schema,
    has,
    has_any,
    no_text,
    ref,
    target_of,
    targets,
    value_of,
    when,
)


def definitions(
    functions: Mapping[str, Parameters], presets: Iterable[str], steps: Iterable[str]
) -> dict[str, Schema]:
    """The definitions of all nodes.

    Args:
        functions: what is known of the functions of steps, by their dotted paths.
        presets: names of SLURM arguments, which editors offer.
        steps: names of steps, which editors offer.
    """
    return {
        **_places(list(presets), list(steps)),
        "kinds": {"allOf": list(_kinds())},
        **{kind: _group(kind) for kind in GROUPS},
        **{kind: _leaf(kind, functions) for kind in LEAVES},
        **parameters.definitions(functions),
    }


def _places(presets: list[str], steps: list[str]) -> dict[str, Schema]:
    """What can stand in steps, in root and in ``_args_``, and as slurm_args."""
    says_nothing = {"not": has_any(["_target_", "func"])}
    is_leaf = {"anyOf": [_IS_STEP, targets(target_of(LEAVES))]}
    named = [ref("kinds"), when(says_nothing, has("_target_")), when(is_leaf, has("name"))]
    changes = {key: schema for key, schema in KEYS.items() if key != "_target_"}
    return {
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
            "examples": steps,
            **when({"type": "object"}, {"allOf": named}),
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
            properties=changes,
        ),
    }


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
    yield {"properties": {"_target_": KEYS["_target_"]}}
    yield when(targets(r"^planit\."), {"properties": {"_target_": known}})
    yield when(_IS_STEP, ref("Step"))
    for kind in KINDS:
        if kind != "Step":
            yield when(targets(target_of([kind])), ref(kind))


def _group(kind: str) -> Schema:
    nodes = value_of(["array", "null"], "The nodes: names of steps, or nodes.", items=ref("node"))
    more = {key: KEYS[key] for key in GROUPS[kind]}
    made: Schema = {
        "properties": {"_target_": _is(kind), "_args_": nodes, **more},
        "additionalProperties": False,
    }
    if kind == "Packed":
        one = {"_args_": {"minItems": 1, "maxItems": 1}}
        whole = {"properties": {"slurm_args": ref("whole_slurm_args")}}
        made["allOf"] = [{"properties": one}, when({"not": has("slurm")}, whole)]
        made["required"] = ["slurm_args", "_args_"]
    return made


def _leaf(kind: str, functions: Mapping[str, Parameters]) -> Schema:
    needed, optional = LEAVES[kind]
    names = [*needed, *optional, *EVERY_LEAF]
    whole = {"properties": {"slurm_args": ref("whole_slurm_args")}}
    by_place = ("name", "func") if kind == "Step" else ("name",)  # a key, or a _target_, is both
    made: Schema = {
        "required": [name for name in needed if name not in by_place],
        "allOf": [when({"not": has("slurm")}, whole), *_rules(kind, functions)],
    }
    if kind in WITHOUT_ARGUMENTS:
        names = [name for name in names if name not in ("kwargs", "_args_")]
        made["additionalProperties"] = False
    else:
        names += HYDRAS_OWN
    made["properties"] = {**{name: KEYS[name] for name in names}, "_target_": _is(kind)}
    return made


def _rules(kind: str, functions: Mapping[str, Parameters]) -> list[Schema]:
    """What else holds for a kind of leaf."""
    if kind == "Step":  # it has func, or its function as _target_
        both = no_text("there is a function in _target_ already")
        as_target = {"properties": {"func": both, "_target_": DOTTED_PATH}}
        return [when(_IS_FUNCTION, as_target, has("func")), *parameters.of_steps(functions)]
    if kind == "Sweep":
        return parameters.of_sweeps(functions)
    if kind == "HydraApp":
        is_app = {"properties": {"app": {"type": "string"}}} | has("app")
        both = no_text("there is app already")
        neither = when({"not": has("script")}, has("app"))
        return [when(is_app, {"properties": {"script": both}}, neither)]
    return []


def _is(kind: str) -> Schema:
    return {"description": first_line(getattr(planit, kind))}
