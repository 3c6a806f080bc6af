"""Whether a manifest is as planit writes them, so that whoever reads one can rely on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from planit.record import fields

_ORIGIN = {"step": str, "preset": str, "own": dict}


def damage_of(manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with a manifest, if anything is."""
    if not _is_plain(manifest.get("plan")):
        return "it has no name of the plan"
    if not isinstance(manifest.get("config", {}), dict | None):
        return "its configuration is not an object"
    wrong = _tree(manifest.get("tree"), _wrong_values)
    if wrong is None and "part" in manifest:
        part = fields.mapping(manifest, "part")
        if fields.whole(part, "left_out") is None:
            return "what it says of the part of the plan is damaged"
        wrong = _tree(part["tree"], _wrong_place) if "tree" in part else None
    return wrong


def _tree(root: Any, wrong_in: Callable[[Mapping[str, Any]], Iterator[str]]) -> str | None:
    names: set[str] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if not isinstance(node, dict):
            return "a node of its tree is not an object"
        wrong = _group(node) if "children" in node else _step(node, names, wrong_in)
        if wrong is not None:
            return wrong
        stack.extend(node.get("children", ()))
    return None


def _group(node: Mapping[str, Any]) -> str | None:
    if node.get("kind") not in ("Chain", "Parallel", "Packed") or not isinstance(
        node["children"], list
    ):
        return "a group of its tree is neither a Chain nor a Parallel or Packed of nodes"
    if node["kind"] == "Packed":
        jobs, slurm = fields.whole(node, "jobs") or 0, node.get("slurm")
        if not isinstance(slurm, dict) or jobs < 1 or len(node["children"]) != 1:
            return "a Packed of its tree has no SLURM arguments, jobs or node"
        if "origin" in node and not _is_origin(node["origin"]):
            return "a Packed of its tree has an origin that is none"
    if not isinstance(node.get("label", ""), str):
        return "the label of a group is not text"
    if "max_concurrent" in node and (fields.whole(node, "max_concurrent") or 0) < 1:
        return "max_concurrent of a group is not a number of at least 1"
    return None


def _step(
    node: Mapping[str, Any],
    names: set[str],
    wrong_in: Callable[[Mapping[str, Any]], Iterator[str]],
) -> str | None:
    name = fields.text(node, "name")
    if name is None or not _is_plain(name):
        return "a step has no name"
    if name in names:
        return f"two steps are called {name!r}"
    names.add(name)
    wrong = next(wrong_in(node), None)
    return None if wrong is None else f"step {name!r} {wrong}"


def _wrong_values(node: Mapping[str, Any]) -> Iterator[str]:
    slug, func = node.get("slug"), node.get("func")
    if not _is_plain(node.get("kind")):
        yield "has no kind"
    if not _is_plain(slug) or "/" in str(slug):
        yield "has no slug"
    if not isinstance(node.get("slurm"), dict):
        yield "has no SLURM arguments"
    if func is not None and not isinstance(func, str):
        yield "has a function that is not text"
    if node.get("kind") == "HydraApp" and not _is_program(node):
        yield "has no program"
    if "targets" in node and fields.texts(node, "targets") != node["targets"]:
        yield "has targets that are not texts"
    if not _is_plain(node.get("base", "x")):
        yield "has a name without its branch that is not text"
    if not isinstance(node.get("values", {}), dict):
        yield "has swept values that are not an object"
    if "origin" in node and not _is_origin(node["origin"]):
        yield "has an origin that is none"


def _wrong_place(node: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with a step of the whole plan of which a part is run."""
    keys = ("run", "dir") if "run" in node else ("slug",)
    if not all(isinstance(node.get(key), str) for key in keys):
        yield "has no folder"
    if not isinstance(node.get("values", {}), dict):
        yield "has swept values that are not an object"


def _is_origin(content: Any) -> bool:
    return isinstance(content, dict) and all(
        isinstance(value, _ORIGIN.get(key, ())) for key, value in content.items()
    )


def _is_program(node: Mapping[str, Any]) -> bool:
    named = [name for name in (node.get("app"), node.get("script")) if name is not None]
    return len(named) == 1 and _is_plain(named[0])


def _is_plain(value: Any) -> bool:
    """Whether this is text of a line, as every name in a plan is."""
    return isinstance(value, str) and bool(value) and value.isprintable()
