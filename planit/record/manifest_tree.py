"""The tree of a plan as a run's manifest has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def leaves_of(tree: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The steps, in order, each as it is written; any depth."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if "children" in node:
            stack.extend(reversed(node["children"]))
        else:
            yield node
