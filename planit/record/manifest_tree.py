"""The tree of a plan as a run's manifest has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from planit.record import fields


def standing_tree(manifest: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tree that tells what stands before a step: of the whole plan, if only a part is run.

    A step of it that was done in an earlier run has ``run`` and ``dir`` instead of a slug.
    """
    whole = fields.mapping(fields.mapping(manifest, "part"), "tree")
    tree: Mapping[str, Any] = whole or manifest["tree"]
    return tree


def leaves_of(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps, in order, each as it is written; any depth."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if "children" in node:
            stack.extend(reversed(node["children"]))
        else:
            yield node


def packed_jobs(tree: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What is packed in jobs, each with a key that no step has as its name."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if node.get("kind") == "Packed":
            if (first := next(leaves_of(node), None)) is not None:
                yield key_of_job(first["name"]), node
        else:
            stack.extend(reversed(node.get("children", ())))


def key_of_job(first: str) -> str:
    """The key of a packed job, by the name of its first step in the plan."""
    return f"\0{first}"
