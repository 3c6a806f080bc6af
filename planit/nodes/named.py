"""Steps that a plan names once and refers to by name, as plans in a configuration do."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from planit.errors import PlanError, suggest
from planit.nodes.slurm_args import SlurmArgs, SlurmSpec
from planit.nodes.sweep import Sweep
from planit.nodes.tree import Group, Named, Node, Step, Task, bottom_up

logger = logging.getLogger("planit")

_OWN = ("func", "slurm_args", "slurm", "_args_", "kwargs")


def with_steps(root: Node, steps: Mapping[str, Any]) -> Node:
    """The tree with the steps in place of their names; warns of steps that it does not name.

    Args:
        root: the tree.
        steps: a node for each name, or what a Step is made of: a mapping with func, slurm_args, the
            fields to change in them (slurm), and arguments.

    Raises:
        PlanError: a name without a step, or a step that is wrong.
    """
    made: dict[str, Node] = {}

    def replaced(node: Node) -> Node:
        if isinstance(node, Named):
            if node.name not in steps:
                raise PlanError(
                    f"the plan has no step {node.name!r}",
                    hint=suggest(node.name, steps) if steps else "Plan(name, root, steps={...})",
                )
            if node.name not in made:
                made[node.name] = _step(node.name, steps[node.name])
            return made[node.name]
        if isinstance(node, Group):
            return node.with_children(map(replaced, node.children))
        return node

    refers = any(isinstance(node, Named) for node in bottom_up(root))
    tree = replaced(root) if steps or refers else root
    if unnamed := [name for name in steps if name not in made]:
        logger.warning("%s", not_named(unnamed, "the root", "steps"))
    return tree


def not_named(steps: Sequence[str], root: str, where: str) -> str:
    """A warning that the root of a plan does not name some of its steps."""
    first, *others = steps
    more = f", nor {', '.join(map(repr, others))}" if others else ""
    return f"{root} does not name the step {first!r} of {where}{more}: not run"


def _step(name: str, content: Any) -> Node:
    """A step under its name, unless it has one of its own."""
    if isinstance(content, Sweep):
        return content.named(name)
    if isinstance(content, Task) and not content.name:
        return content.renamed(name)
    if isinstance(content, Node):
        return content
    if not isinstance(content, Mapping):
        raise PlanError(f"step {name!r} must be a node, or a mapping, not {content!r}")
    for key in ("func", "slurm_args"):
        if content.get(key) is None:
            raise PlanError(f"step {name!r} has no {key}")
    arguments = {str(key): item for key, item in content.items() if key not in (*_OWN, "name")}
    arguments |= content.get("kwargs") or {}
    slurm_args = _changed(content["slurm_args"], content.get("slurm") or {})
    own_name = content.get("name") or name
    return Step(own_name, content["func"], slurm_args, *content.get("_args_") or (), **arguments)


def _plain(value: Any) -> Any:
    """OmegaConf's containers as Python's: it makes them of whatever stands in a mapping."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(item) for item in value]
    return value


def _changed(slurm_args: SlurmSpec, fields: Mapping[str, Any]) -> SlurmSpec:
    """SLURM arguments with some fields set anew; a mapping of SlurmArgs' fields makes some."""
    if isinstance(slurm_args, SlurmArgs):
        if not fields:
            return slurm_args
        given = {one.name: getattr(slurm_args, one.name) for one in dataclasses.fields(slurm_args)}
    elif isinstance(slurm_args, Mapping):
        given = _plain(slurm_args)
    else:
        return slurm_args
    given |= _plain(fields)
    return given if "slurm_time" in given else SlurmArgs.from_mapping(given)
