"""The schema of the files of plans and presets, as one document."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

import planit
from planit.app.config.node_keys import PLAN_KEYS
from planit.app.json_schema import parameters, plan_nodes, slurm_fields
from planit.app.json_schema.docstrings import first_line
from planit.app.json_schema.parameters import Parameters
from planit.app.json_schema.pieces import Schema, has, ref, target_of, value_of, when

_DRAFT = "http://json-schema.org/draft-07/schema#"
_MAIN_AND_LIGHT = ("slurm", "cpu")  # the presets of planit's primary config


@dataclass(frozen=True)
class PlanFacts:
    """What a schema says of particular plans.

    Attributes:
        functions: the parameters of functions of steps, by their dotted paths.
        steps: the dotted path of each named step's function; None of a step that calls none.
        presets: names of SLURM arguments.
        slurm_defaults: the fields that ``slurm_defaults`` sets; None if they are not known.
    """

    functions: Mapping[str, Parameters] = field(default_factory=dict)
    steps: Mapping[str, str | None] = field(default_factory=dict)
    presets: Iterable[str] = ()
    slurm_defaults: Collection[str] | None = None


def document(facts: PlanFacts) -> Schema:
    """The JSON Schema of plan files and presets."""
    plan = when(_builds_on_a_plan(), ref("part_of_plan"), ref("plan"))
    return {
        "$schema": _DRAFT,
        "$comment": f"planit {planit.__version__}: plans (conf/plan) and presets (conf/slurm)",
        "type": "object",
        **when(slurm_fields.is_preset(), ref("preset"), when(has("plan"), _global(), plan)),
        "definitions": {
            "defaults": {
                "description": "Hydra's defaults list: the files that this one builds on.",
                "type": "array",
                "items": {"type": ["string", "object"]},
            },
            "plan": _plan(
                value_of(["object", "null"], additionalProperties=ref("step")), ref("node")
            )
            | {"additionalProperties": False, "required": ["name", "root"]},
            "part_of_plan": _plan(_steps_of_another(facts), root={}),
            **slurm_fields.definitions(facts.slurm_defaults),
            **plan_nodes.definitions(facts.functions, facts.presets, facts.steps),
        },
    }


def _builds_on_a_plan() -> Schema:
    """A file that changes what another one has: the defaults list names more than other groups."""
    not_a_plan = r"^(?:override +|optional +)*/(?!plan(?:@|$))"
    other = {"type": "object", "propertyNames": {"pattern": not_a_plan}}
    named = {"not": {"anyOf": [{"const": "_self_"}, other]}}
    return {"properties": {"defaults": {"contains": named}}} | has("defaults")


def _global() -> Schema:
    """A file with ``# @package _global_``: its plan, and whatever else the configuration has."""
    changes = "Fields of the SLURM arguments that this plan sets."
    fields = slurm_fields.slurm_fields()
    presets = {name: value_of("object", changes, properties=fields) for name in _MAIN_AND_LIGHT}
    return {
        "properties": {"defaults": ref("defaults"), **presets},
        **when(
            has("defaults"),
            {"properties": {"plan": ref("part_of_plan")}},
            {"properties": {"plan": ref("plan")}},
        ),
    }


def _plan(steps: Schema, root: Schema) -> Schema:
    """A plan with all of its keys."""
    described = {
        "_target_": {
            "type": "string",
            "pattern": target_of(["Plan"]),
            "patternErrorMessage": "a plan is planit.Plan",
            "examples": ["planit.Plan"],
            "description": first_line(planit.Plan),
        },
        "name": {
            "type": ["string", "number", "boolean"],
            "minLength": 1,
            "description": "Name of the plan, also of the folder of its runs.",
        },
        "steps": {**steps, "description": "The steps by name, for root and the command line."},
        "root": root,
    }
    return {
        "type": "object",
        "properties": {
            **{key: described[key] for key in PLAN_KEYS},
            "defaults": ref("defaults"),
            "vars": {"description": "Values of the plan's own, which others refer to."},
        },
        "patternProperties": {"^_": True},
    }


def _steps_of_another(facts: PlanFacts) -> Schema:
    """Steps that change those of another file, and new ones."""
    changed = {
        name: {"allOf": [ref("part_of_step"), parameters.call(path)]}
        for name, path in facts.steps.items()
        if path is not None and path in facts.functions
    }
    return value_of(
        ["object", "null"], properties=changed, additionalProperties=ref("part_of_step")
    )
