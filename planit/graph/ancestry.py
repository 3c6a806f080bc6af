"""What stands before a step of a tree: its parents, and all that must have succeeded before it.

The tree is a plan's, or that of a manifest: a `Form` says how to look at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from planit.nodes import Chain, Node, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Form(Generic[T]):
    """How to look at the nodes of a tree.

    Attributes:
        children_of: the nodes in a group; None of a step.
        is_chain: whether a group runs its nodes one after another.
    """

    children_of: Callable[[T], Sequence[T] | None]
    is_chain: Callable[[T], bool]

    def places(self, root: T) -> Iterator[tuple[T, TreePlace | None]]:
        """Every step, in order, with the place that it has in the tree; any depth."""
        stack: list[tuple[T, TreePlace | None]] = [(root, None)]
        while stack:
            node, place = stack.pop()
            children = self.children_of(node)
            if children is None:
                yield node, place
                continue
            above = [(children[i], TreePlace(node, i, place)) for i in range(len(children))]
            stack.extend(reversed(above))

    def steps(self, node: T) -> Iterator[T]:
        """The steps in a node, in order; any depth."""
        stack = [node]
        while stack:
            one = stack.pop()
            children = self.children_of(one)
            if children is None:
                yield one
            else:
                stack.extend(reversed(children))

    def before(self, place: TreePlace | None) -> Iterator[T]:
        """The nodes that must have succeeded before what has this place, the nearest first."""
        while place is not None:
            if self.is_chain(place.group):
                children = self.children_of(place.group) or ()
                yield from (children[i] for i in range(place.position - 1, -1, -1))
            place = place.above

    def parents(self, place: TreePlace | None) -> list[T]:
        """The steps that what has this place waits for directly."""
        found: list[T] = []
        for node in self.before(place):
            last, is_open = self._ends(node)
            found = [*last, *found]
            if not is_open:
                break
        return found

    def ancestors(self, place: TreePlace | None) -> list[T]:
        """All steps that must have succeeded before what has this place, in the plan's order."""
        nodes = list(self.before(place))
        return [step for node in reversed(nodes) for step in self.steps(node)]

    def _ends(self, node: T) -> tuple[list[T], bool]:
        """The steps that end a node, and whether there is a way through it past all steps."""
        children = self.children_of(node)
        if children is None:
            return [node], False
        if not children:
            return [], True
        found: list[T] = []
        if not self.is_chain(node):
            ends = [self._ends(child) for child in children]
            return [step for last, _ in ends for step in last], any(way for _, way in ends)
        for child in reversed(children):
            last, is_open = self._ends(child)
            found = [*last, *found]
            if not is_open:
                return found, False
        return found, True


class TreePlace(NamedTuple):
    """Where a node stands: in a group, which has a place itself.

    Attributes:
        group: the group.
        position: which of its children the node is.
        above: where the group stands; None of the root.
    """

    group: Any
    position: int
    above: TreePlace | None


def _children(node: Node) -> Sequence[Node] | None:
    return None if isinstance(node, Task) else node.children


PLAN = Form[Node](_children, lambda node: isinstance(node, Chain))
"""The tree of a plan."""


def called(name: str, names: Iterable[str]) -> list[str]:
    """The steps that are meant by a name: the step of that name, or else its branches.

    ``train`` also means ``train[lr=0.1]`` and ``train[lr=0.2]``.
    """
    listed = list(names)
    exact = [one for one in listed if one == name]
    return exact or [one for one in listed if one.startswith(f"{name}[")]


def plain_name(name: str) -> str:
    """The name of a step as the plan has it: ``train`` for ``train[lr=0.1]``."""
    return name.partition("[")[0] or name
