"""The plan as a tree of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from planit.graph import durations
from planit.nodes import Chain, Group, Node, Packed, Parallel, Task
from planit.nodes.walltime import clock

_MAX_BRANCHES = 8


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
    stack: list[tuple[Node | str, str, bool]] = [(root, "", True)]
    while stack:
        node, indent, last = stack.pop()
        head = f"{indent}{'└── ' if last else '├── '}"
        if isinstance(node, str):
            yield head + node
            continue
        yield head + label(node, times[id(node)])
        below = indent + ("    " if last else "│   ")
        children = _shown(node)
        final = len(children) - 1
        stack.extend(
            (child, below, position == final)
            for position, child in reversed(list(enumerate(children)))
        )


def _shown(node: Node) -> Sequence[Node | str]:
    """The children of a node, but of the many branches of a sweep only the first and the last."""
    children = node.children
    if not isinstance(node, Parallel) or node.label is None or len(children) <= _MAX_BRANCHES:
        return children
    return [children[0], f"… {len(children) - 2} more branches", children[-1]]


def label(node: Node, duration: timedelta) -> str:
    """One node: its sign, its name, its time (a step's as the user wrote it)."""
    if isinstance(node, Task):
        return f"● {node.name} [{node.resources.time_text}]"
    if not isinstance(node, Group):
        return f"{type(node).__name__} [{clock(duration)}]"
    if isinstance(node, Packed):
        several = f" in {node.jobs} jobs" if node.jobs > 1 else ""
        return f"▣ Packed{several} [{node.resources.time_text}]"
    limit = node.max_concurrent if isinstance(node, Parallel) else None
    at_most = f", at most {limit} at once" if limit is not None else ""
    sign = "▼" if isinstance(node, Chain) else "⇉"
    return f"{sign} {node.label or node.kind}{at_most} [{clock(duration)}]"
