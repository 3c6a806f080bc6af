"""Merging the branches of a sweep into one tree.

Steps at the front of the branches that are equal run once (a trie of branches), and trailing
steps that are named to be joined run once after every branch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

from planit.errors import PlanError, suggest
from planit.nodes import Chain, Command, Group, HydraApp, Node, Packed, Parallel, Step, Task
from planit.nodes.arguments import Structured, Unbuilt
from planit.nodes.functions import dotted_path
from planit.nodes.step_folder import StepFolder
from planit.nodes.sweep import swept_value

# A tuple: `str | int` would make a new object for each value.
_PLAIN = (str, int, float, bool, bytes, Enum, PurePath, StepFolder)


@dataclass(frozen=True)
class Branch:
    """One configuration of a sweep.

    Attributes:
        values: the swept overrides and this branch's value of each, as text.
        root: its plan.
        hydra: what its steps' jobs set `HydraConfig` up from, if that is not the run's.
    """

    values: Mapping[str, str]
    root: Node
    hydra: Any = None

    @property
    def label(self) -> str:
        return label_of(self.values)


def label_of(values: Mapping[str, str]) -> str:
    """``lr=0.001,seed=0``."""
    return ",".join(f"{key}={value}" for key, value in values.items())


def merge(
    branches: Sequence[Branch],
    *,
    share: bool = True,
    join: Collection[str] = (),
    max_concurrent: int | None = None,
    packed: Callable[[Parallel], Node] = lambda branches: branches,
) -> Node:
    """One tree for all branches.

    Args:
        branches: at least one; each with the same swept overrides.
        share: run equal steps at the front of the branches once.
        join: names of trailing steps that run once, after every branch.
        max_concurrent: the most branches between their first step's start and their last one's
            end at once, without the steps that run once for all.
        packed: packs the branches, without the steps that run once for all.

    Raises:
        PlanError: a step to join is not at the end of every branch, or differs between branches;
            or branches are limited of which only some share a step.
    """
    rows = [_Row(branch.values, _sequence(branch.root), branch.hydra) for branch in branches]
    tail = _take_tail(rows, set(join))
    body = _trie(rows, share=share, max_concurrent=max_concurrent, packed=packed)
    if len(body) == 1 and not tail:
        return body[0]
    return Chain(*body, *tail)


@dataclass
class _Row:
    values: Mapping[str, str]
    nodes: list[Node]
    hydra: Any


def _sequence(root: Node) -> list[Node]:
    return list(root.children) if isinstance(root, Chain) else [root]


def _take_tail(rows: Sequence[_Row], join: set[str]) -> list[Node]:
    """Cut the steps to join off the end of every branch."""
    tails = []
    for row in rows:
        tail: list[Node] = []
        while row.nodes and isinstance(row.nodes[-1], Task) and row.nodes[-1].name in join:
            tail.insert(0, row.nodes.pop())
        tails.append(tail)
        missing = join - {node.name for node in tail if isinstance(node, Task)}
        if missing:
            last = [node.name for node in [*row.nodes, *tail] if isinstance(node, Task)]
            raise PlanError(
                f"sweep.join: {min(missing)!r} is not a step at the end of branch"
                f" {label_of(row.values)}",
                hint=suggest(min(missing), last[-5:]),
            )
    for row, tail in zip(rows, tails, strict=True):
        for mine, first in zip(tail, tails[0], strict=True):
            if _key(mine) != _key(first):
                name = mine.name if isinstance(mine, Task) else "a step"
                raise PlanError(
                    f"sweep.join: {name!r} differs between the branches {label_of(rows[0].values)}"
                    f" and {label_of(row.values)}",
                    hint="only a step that is equal in all branches can run once after them",
                )
    return tails[0]


def _trie(
    rows: Sequence[_Row],
    *,
    share: bool,
    named: Mapping[str, str] | None = None,
    max_concurrent: int | None = None,
    packed: Callable[[Parallel], Node] = lambda branches: branches,
) -> list[Node]:
    """The nodes of these branches, to run one after another.

    `named` are the swept values that go into the names of the nodes, to tell them from others.
    """
    shared: list[Node] = []
    if not any(row.nodes for row in rows):
        return shared
    groups = _groups(rows, share=share)
    if len(groups) == 1 and len(groups[0]) > 1:
        first = groups[0][0].nodes[0]
        shared.append(_renamed(first, named or {}))
        rest = _rest(rows)
        return shared + _trie(
            rest, share=share, named=named, max_concurrent=max_concurrent, packed=packed
        )
    children = []
    for group in groups:
        values = group[0].values if len(group) == 1 else _common(group, groups)
        if len(group) == 1:
            nodes = [_renamed(node, values, group[0].hydra) for node in group[0].nodes]
        else:
            nodes = _trie(group, share=share, named=values)
        if nodes:
            alone = len(nodes) == 1 and isinstance(nodes[0], Task)
            children.append(nodes[0] if alone else Chain(*nodes, label=label_of(values) or None))
    if max_concurrent is not None and len(children) < len(rows):
        raise PlanError(
            "sweep.max_concurrent counts branches, and some of them share steps that others do not",
            hint="sweep.share=false runs every branch on its own",
        )
    label = f"{len(rows)} branch{'es' if len(rows) > 1 else ''}"
    label += f" over {swept}" if (swept := _swept(rows)) else ""
    shared.append(packed(Parallel(*children, max_concurrent=max_concurrent, label=label)))
    return shared


def _swept(rows: Sequence[_Row]) -> str:
    keys = rows[0].values
    varying = [key for key in keys if len({row.values.get(key) for row in rows}) > 1]
    return ", ".join(varying) or ", ".join(keys)


def _rest(rows: Sequence[_Row]) -> list[_Row]:
    return [_Row(row.values, row.nodes[1:], row.hydra) for row in rows]


def _groups(rows: Sequence[_Row], *, share: bool) -> list[list[_Row]]:
    """Branches by their first node; without sharing each alone."""
    if not share or len(rows) == 1:
        return [[row] for row in rows]
    by_key: dict[Any, list[_Row]] = {}
    for row in rows:
        by_key.setdefault(_key(row.nodes[0]) if row.nodes else None, []).append(row)
    return list(by_key.values())


def _common(group: Sequence[_Row], groups: Sequence[Sequence[_Row]]) -> dict[str, str]:
    """The values that all of a group share; the first branch's if other groups share them too."""
    shared = _shared(group)
    if all(_shared(other) != shared for other in groups if other is not group):
        return shared
    return dict(group[0].values)


def _shared(group: Sequence[_Row]) -> dict[str, str]:
    first = group[0].values
    return {
        key: value
        for key, value in first.items()
        if all(row.values.get(key) == value for row in group)
    }


def _renamed(node: Node, values: Mapping[str, str], hydra: Any = None) -> Node:
    """The node with the branch in every step's name, and its configuration in every step."""
    if not values and hydra is None:
        return node
    if isinstance(node, Task):
        name = f"{node.name}[{label_of(values)}]" if values else node.name
        swept = {key: swept_value(text) for key, text in values.items()}
        return node.renamed(name, hydra).of_branch(node.base, swept)
    if isinstance(node, Group):
        return node.with_children(_renamed(child, values, hydra) for child in node.children)
    return node


def _key(node: Node) -> Any:
    """Equal for nodes that do the same with the same resources."""
    if isinstance(node, Step):
        what = (_function_key(node.func), _value_key(list(node.args)), _value_key(node.kwargs))
        return ("Step", node.name, node.resources.key, node.making, what)
    if isinstance(node, Command):
        command = (node.command, node.cwd, _value_key(node.env))
        return ("Command", node.name, node.resources.key, command)
    if isinstance(node, HydraApp):
        return ("HydraApp", node.name, node.resources.key, node.app, node.script, node.overrides)
    if isinstance(node, Packed):
        return ("Packed", node.resources.key, node.jobs, _key(node.node))
    limit = node.max_concurrent if isinstance(node, Parallel) else None
    kind = "Chain" if isinstance(node, Chain) else "Parallel"
    return (kind, limit, tuple(_key(child) for child in node.children))


def _function_key(func: Any) -> Any:
    return dotted_path(func) or id(func)


def _value_key(value: Any) -> Any:
    """Equal for plain values that are equal; any other object equals only itself."""
    if value is None or isinstance(value, _PLAIN):
        return (type(value).__name__, repr(value))
    if isinstance(value, Unbuilt):
        return ("unbuilt", _value_key(value.content))
    if isinstance(value, Structured):
        return ("structured", value.cls, _value_key(dict(value)))
    if isinstance(value, Mapping):
        return tuple((str(key), _value_key(item)) for key, item in value.items())
    if isinstance(value, list | tuple):
        return (type(value).__name__, *(_value_key(item) for item in value))
    return ("object", id(value))
