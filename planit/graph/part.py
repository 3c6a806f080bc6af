"""A part of a plan: some of its steps, and where those before them were done."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from planit.errors import PlanError, suggest
from planit.graph.folders import FolderOf, Refused, with_folders
from planit.graph.step_names import known_names, steps_named
from planit.nodes import Chain, Node, Parallel, Task, tasks
from planit.nodes.rebuilding import rebuilt, with_nodes
from planit.nodes.tree import bottom_up


class DoneBefore(NamedTuple):
    """A step that was done in an earlier run.

    Attributes:
        run: that run's directory.
        dir: the step's folder.
    """

    run: Path
    dir: Path


@dataclass(frozen=True)
class Part:
    """The steps of a plan that are run; what stands before them counts as done.

    Attributes:
        steps: their names.
        before: the steps before them that are left out, by name, as far as it is known where they
            were done.
    """

    steps: Collection[str]
    before: Mapping[str, DoneBefore] = field(default_factory=dict)

    def tree(self, root: Node, folder_of: FolderOf = Path, refused: Refused | None = None) -> Node:
        """The tree of these steps only, with paths in place of the folders that they name.

        Args:
            root: the whole plan.
            folder_of: gives the folder of a step of this part.
            refused: takes the errors.

        Raises:
            PlanError: a step names the folder of one that does not come before it, or of one that
                is left out and was done nobody knows where.
        """

        def folder(name: str) -> Path:
            if name in self.steps:
                return folder_of(name)
            if name not in self.before:
                raise PlanError(
                    f"${{dir:{name}}}: the step {name!r} is left out",
                    hint="--after RUN names the run in which it was done",
                )
            return self.before[name].dir

        return _only(with_folders(root, folder, self.steps, refused), self.steps)


def to_run(
    root: Node, part: Part | None, folder_of: FolderOf, refused: Refused | None = None
) -> Node:
    """The tree of what is run of a plan, with paths where steps name the folders of others.

    Args:
        root: the whole plan.
        part: the steps that are run; None means all.
        folder_of: gives the folder of a step that is run.
        refused: takes the errors.

    Raises:
        PlanError: as `Part.tree`.
    """
    if part is None:
        return with_folders(root, folder_of, refused=refused)
    return part.tree(root, folder_of, refused)


def part_of(
    root: Node,
    *,
    start_from: Collection[str] = (),
    until: Collection[str] = (),
    only: Collection[str] = (),
) -> Part:
    """The steps that are asked for; what several options ask for is what all of them ask for.

    Args:
        root: the plan.
        start_from: these steps and everything behind them.
        until: these steps and everything that must succeed before them.
        only: just these steps.

    Raises:
        PlanError: the plan has no such step, or no step is left.
    """
    steps = [task for task, _ in tasks(root)]
    chosen = {step.name for step in steps}
    if start_from:
        chosen &= _reached(root, _names(steps, start_from), behind=True)
    if until:
        chosen &= before(root, _names(steps, until))
    if only:
        chosen &= _names(steps, only)
    if not chosen:
        raise PlanError(
            f"no step of the plan is {_words(start_from, until, only)}",
            hint="several options mean the steps that all of them mean",
        )
    return Part(frozenset(chosen))


def _words(start_from: Collection[str], until: Collection[str], only: Collection[str]) -> str:
    said = (("from", start_from), ("until", until), ("only", only))
    return " and ".join(f"{word} {', '.join(names)}" for word, names in said if names)


def before(root: Node, names: Collection[str]) -> set[str]:
    """These steps of a plan, and all that must succeed before them."""
    return _reached(root, names, behind=False)


def _names(steps: Sequence[Task], words: Collection[str]) -> set[str]:
    """The names of the steps that words mean. Raises PlanError if a word means none."""
    names: set[str] = set()
    for word in words:
        found = steps_named(steps, word)
        if not found:
            hint = suggest(word, known_names(steps))
            raise PlanError(f"the plan has no step {word!r}", hint=hint)
        names |= {step.name for step in found}
    return names


def _reached(root: Node, names: Collection[str], *, behind: bool) -> set[str]:
    """These steps and all that depend on them; or else all that they depend on. Any depth.

    All steps in a node of a Chain must succeed before any step in a later node of it starts.
    """
    holds: dict[int, bool] = {}
    for node in bottom_up(root):
        inside = [holds[id(child)] for child in node.children]
        holds[id(node)] = node.name in names if isinstance(node, Task) else any(inside)
    found: set[str] = set()
    stack = [(root, False)]
    while stack:
        node, all_of_it = stack.pop()
        if isinstance(node, Task):
            if all_of_it or holds[id(node)]:
                found.add(node.name)
            continue
        is_chain, reached = isinstance(node, Chain), all_of_it
        for child in node.children if behind else reversed(node.children):
            stack.append((child, reached))
            reached = reached or (is_chain and holds[id(child)])
    return found


def _only(root: Node, names: Collection[str]) -> Node:
    """The tree without the other steps, and without groups in which nothing is left."""

    def instead(node: Node, left: Sequence[Node]) -> Node | None:
        if isinstance(node, Task):
            return node if node.name in names else None
        if node.children and not left:
            return None
        made = with_nodes(node, left)
        if isinstance(made, Parallel) and made.label is not None and len(left) < len(node.children):
            made.label = f"{len(left)} of {made.label}"
        return made

    found = rebuilt(root, instead)
    assert found is not None, "a part has a step"
    return found
