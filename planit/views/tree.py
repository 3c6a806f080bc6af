"""The plan as a tree of text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from planit.graph import durations
from planit.nodes import Chain, Node, Task
from planit.nodes.walltime import clock


def tree_text(name: str, root: Node) -> str:
    """What `Plan.describe` shows: a line per node, and the estimate.

    Iterative, and linear in the number of nodes (times the depth, for the indentation).
    """
    times = durations(root)
    lines = [f"Plan: {name}", *_lines(root, times)]
    total = clock(times[id(root)])
    lines.append(f"Time Estimate (not taking queuing into account): {total}")
    return "\n".join(lines)


def _lines(root: Node, times: dict[int, timedelta]) -> Iterator[str]:
    stack: list[tuple[Node, str, bool]] = [(root, "", True)]
    while stack:
        node, indent, last = stack.pop()
        yield f"{indent}{'└── ' if last else '├── '}{label(node, times[id(node)])}"
        below = indent + ("    " if last else "│   ")
        final = len(node.children) - 1
        stack.extend(
            (child, below, position == final)
            for position, child in reversed(list(enumerate(node.children)))
        )


def label(node: Node, duration: timedelta) -> str:
    """One node: its sign, its name, its time (a step's as the user wrote it)."""
    if isinstance(node, Task):
        return f"● {node.name} [{node.resources.time_text}]"
    sign = "▼" if isinstance(node, Chain) else "⇉"
    return f"{sign} {type(node).__name__} [{clock(duration)}]"
