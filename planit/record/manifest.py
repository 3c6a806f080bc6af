"""What a run's manifest says: the tree as it was resolved, and where it came from."""

from __future__ import annotations

import getpass
import importlib.metadata
import os
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from planit.graph import Part
from planit.nodes import (
    Chain,
    Command,
    Group,
    HydraApp,
    Node,
    Origin,
    Packed,
    Parallel,
    Step,
    Task,
    tasks,
)
from planit.nodes.arguments import Unbuilt, targets
from planit.nodes.functions import dotted_path, is_dotted_path
from planit.nodes.tree import bottom_up
from planit.record.manifest_tree import leaves_of, packed_jobs
from planit.record.plain_data import plain_data

_PACKAGES = ("planit-slurm", "submitit", "hydra-core", "omegaconf", "cloudpickle")
_REPR_CHARACTERS = 500
_PLAIN = (str, int, float, bool)  # a tuple: `str | int` makes a new object for each value


def describe_run(plan: str, trees: Mapping[str, Any], source: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest of a new run.

    Args:
        plan: the plan's name.
        trees: see `trees_of`.
        source: what the caller knows: configuration, command line.
    """
    return {
        "plan": plan,
        "created": time.time(),
        "user": _user(),
        "host": socket.gethostname(),
        "directory": os.getcwd(),
        "command_line": sys.argv,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "versions": _versions(),
        **trees,
        **source,
    }


def _user() -> str:
    """The user's name, or number where the system has no name for it, as in some containers."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # by the version of Python
        return str(os.getuid())


def trees_of(root: Node, run: Node, slugs: Mapping[str, str], part: Part | None) -> dict[str, Any]:
    """What a manifest says of a plan: the ``tree`` that is run, and ``part`` if that is not all.

    Args:
        root: the whole plan.
        run: what is run of it.
        slugs: the names of the steps' folders.
        part: the steps that are run; None means all.
    """
    tree = _tree(run, lambda task: _leaf(task, slugs[task.name]))
    return {"tree": tree} if part is None else {"tree": tree, "part": _part(root, slugs, part)}


def _tree(root: Node, leaf_of: Callable[[Task], dict[str, Any]]) -> dict[str, Any]:
    """The tree as plain data; built from the leaves up, without recursion."""
    made: dict[int, dict[str, Any]] = {}
    for node in bottom_up(root):
        if isinstance(node, Task):
            made[id(node)] = leaf_of(node)
        else:
            children = [made[id(child)] for child in node.children]
            made[id(node)] = _group(node, children)
    return made[id(root)]


def _group(node: Node, children: list[dict[str, Any]]) -> dict[str, Any]:
    group: dict[str, Any] = {"kind": "Chain" if isinstance(node, Chain) else "Parallel"}
    if isinstance(node, Packed):
        group = {"kind": "Packed", "slurm": node.resources.options, "jobs": node.jobs}
        if node.origin is not None:
            group["origin"] = _origin(node.origin)
    if isinstance(node, Group) and node.label is not None:
        group["label"] = node.label
    if isinstance(node, Parallel) and node.max_concurrent is not None:
        group["max_concurrent"] = node.max_concurrent
    return {**group, "children": children}


def _origin(origin: Origin) -> dict[str, Any]:
    return {key: item for key, item in vars(origin).items() if item}


def _leaf(task: Task, slug: str) -> dict[str, Any]:
    leaf: dict[str, Any] = {
        "kind": type(task).__name__,
        "name": task.name,
        "slug": slug,
        "slurm": task.resources.options,
    }
    if task.base != task.name:
        leaf["base"] = task.base
    if task.values:
        leaf["values"] = {key: _swept(value) for key, value in task.values.items()}
    if task.origin is not None:
        leaf["origin"] = _origin(task.origin)
    if isinstance(task, Step):
        leaf["func"] = dotted_path(task.func) or _short(task.func)
        leaf["args"] = [_short(value) for value in task.args]
        leaf["kwargs"] = {name: _short(value) for name, value in task.kwargs.items()}
        recursive = task.making is None or task.making.recursive
        if built := targets((*task.args, *task.kwargs.values()), recursive=recursive):
            leaf["targets"] = built
    elif isinstance(task, Command):
        leaf["command"] = task.command
        leaf["cwd"] = task.cwd
        leaf["env"] = task.env
    elif isinstance(task, HydraApp):
        leaf["app"] = task.app
        leaf["script"] = task.script
        leaf["overrides"] = list(task.overrides)
    return leaf


def _part(root: Node, slugs: Mapping[str, str], part: Part) -> dict[str, Any]:
    """What a manifest says of a run of a part of a plan.

    ``left_out`` is the number of steps that are not run. If it is known where those before the
    others were done, ``tree`` is that of the whole plan, so that steps find them: each has just its
    name, its swept parameters and its folder, which is ``run`` and ``dir`` for one of those.
    """

    def leaf(task: Task) -> dict[str, Any]:
        made: dict[str, Any] = {"kind": type(task).__name__, "name": task.name}
        if task.values:
            made["values"] = {key: _swept(value) for key, value in task.values.items()}
        if (done := part.before.get(task.name)) is not None:
            return {**made, "run": str(done.run), "dir": str(done.dir)}
        return {**made, "slug": slugs[task.name]}

    left_out = sum(task.name not in part.steps for task, _ in tasks(root))
    if not part.before:
        return {"left_out": left_out}
    return {"left_out": left_out, "tree": _tree(root, leaf)}


def pickled_by_value(tree: Mapping[str, Any]) -> set[str]:
    """The steps of a manifest's tree whose functions cannot be imported again."""
    return {
        leaf["name"]
        for leaf in leaves_of(tree)
        if leaf["kind"] == Step.__name__ and not is_dotted_path(leaf.get("func"))
    }


def origins(tree: Mapping[str, Any]) -> dict[str, Origin]:
    """Where the run's configuration has each step of a manifest's tree, by name.

    A step that was made in Python is found as if a configuration had it under its name, with the
    key ``slurm`` for its SLURM arguments.
    """
    return {
        leaf["name"]: Origin(**leaf["origin"])
        if "origin" in leaf
        else Origin(leaf.get("base", leaf["name"]), "slurm")
        for leaf in leaves_of(tree)
    }


def packed_origins(tree: Mapping[str, Any]) -> dict[str, Origin]:
    """The same for the jobs of what is packed, by the keys that `packed_jobs` gives them."""
    return {
        key: Origin(**job["origin"]) if "origin" in job else Origin(None, "slurm")
        for key, job in packed_jobs(tree)
    }


def _short(value: Any) -> Any:
    """A value as JSON can hold it; whatever else by its repr, cut."""
    if value is None or isinstance(value, _PLAIN):
        return value
    text = repr(value)
    if len(text) > _REPR_CHARACTERS:
        return text[:_REPR_CHARACTERS] + "..."
    return _plain(value.content) if isinstance(value, Unbuilt) else text


def _swept(value: Any) -> Any:
    """A swept value: plain data as they are, whatever else as an argument is shown."""
    if value is None or isinstance(value, _PLAIN):
        return value
    plain = plain_data(value)
    return _short(value) if plain is None else plain.value


def _plain(content: Any) -> Any:
    """Content as JSON can hold it."""
    if content is None or isinstance(content, str | int | float | bool):
        return content
    if isinstance(content, Mapping):
        return {str(key): _plain(item) for key, item in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(item) for item in content]
    return content.name if isinstance(content, Enum) else str(content)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
