"""A tree with other nodes in it; nodes are values, so it is made anew where it differs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_

from planit.nodes.tree import Group, Node, bottom_up


def rebuilt(root: Node, instead: Callable[[Node, Sequence[Node]], Node | None]) -> Node | None:
    """The tree with other nodes in it; from the leaves up, any depth.

    Args:
        root: the tree.
        instead: gives what stands in the place of a node, or None for nothing; from the node, and
            from what stands in the place of those in it.
    """
    made: dict[int, Node | None] = {}
    for node in bottom_up(root):
        inside = (made[id(child)] for child in node.children)
        made[id(node)] = instead(node, [child for child in inside if child is not None])
    return made[id(root)]


def with_nodes(node: Node, children: Sequence[Node]) -> Node:
    """A node with others in it; the very node if they are those that it has."""
    if len(children) == len(node.children) and all(map(is_, children, node.children)):
        return node
    assert isinstance(node, Group), "a step has no nodes in it"
    return node.with_children(children)
