"""Best-case durations: what the plan takes if nothing ever waits in the queue."""

from __future__ import annotations

from datetime import timedelta

from planit.nodes import Node, Packed, Parallel, Task

ZERO = timedelta()


def durations(root: Node) -> dict[int, timedelta]:
    """The critical path of every node below `root`, by ``id(node)``.

    A step and a packed job take the wall time they request, a Chain the sum of its children, a
    Parallel its slowest child. Iterative and linear in the number of nodes.
    """
    result: dict[int, timedelta] = {}
    order: list[Node] = []
    stack = [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    for node in reversed(order):
        if isinstance(node, Task | Packed):
            result[id(node)] = node.resources.time
        else:
            parts = (result[id(child)] for child in node.children)
            result[id(node)] = (
                max(parts, default=ZERO) if isinstance(node, Parallel) else sum(parts, ZERO)
            )
    return result
