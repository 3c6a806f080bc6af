"""Puts paths where a step's arguments name the folders of steps before it (``${dir:train}``)."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.errors import PlanError, suggest
from planit.graph.ancestry import PLAN, TreePlace, called, plain_name
from planit.nodes import Command, HydraApp, Node, Step, Task
from planit.nodes.arguments import Unbuilt
from planit.nodes.rebuilding import rebuilt, with_nodes
from planit.nodes.step_folder import OPEN, mentions_folder, readable, text_with_paths, with_paths
from planit.nodes.tree import in_step

FolderOf = Callable[[str], Path]
"""Gives the folder of the step of a name."""

Refused = Callable[[Task, PlanError], None]
"""Takes what is wrong with a step, so that it is not raised and the other steps are looked at."""

# A word of a shell with a folder in it, as far as it is not quoted.
_WORD = re.compile(rf"[^\s'\"|&;<>()`]*{OPEN}[^⟧]*⟧[^\s'\"|&;<>()`]*")


def refuse_folders(root: Node) -> None:
    """Raise PlanError if a step names the folder of one that does not come before it."""
    with_folders(root, Path)


def with_folders(
    root: Node,
    folder_of: FolderOf,
    wanted: Collection[str] | None = None,
    refused: Refused | None = None,
) -> Node:
    """The tree with paths in place of the folders that its steps name; itself if they name none.

    A step's name means the step of that name that must have succeeded before; if that has
    branches, the one of the same branch, or all of them where the branches have joined.

    Args:
        root: the tree.
        folder_of: gives the folder of a step.
        wanted: the names of the steps that are looked at; by default all.
        refused: takes the errors, and steps that have one are left as they are.

    Raises:
        PlanError: a step names the folder of a step that does not come before it.
    """
    names = _Names(root, folder_of)
    made: dict[int, Node] = {}
    for task, place in PLAN.places(root):
        if not isinstance(task, Task) or (wanted is not None and task.name not in wanted):
            continue
        try:
            if _mentions(task):
                made[id(task)] = _resolved(task, names, place)
        except PlanError as error:
            if refused is None:
                raise in_step(task.name, error) from None
            refused(task, error)
    if not made:
        return root
    found = rebuilt(root, lambda node, children: made.get(id(node)) or with_nodes(node, children))
    assert found is not None, "every node has one in its place"
    return found


def _mentions(task: Task) -> bool:
    if OPEN in task.resources.key:
        raise PlanError(
            "slurm_args: the folder of a step is not known there",
            hint="name it in the step's arguments",
        )
    if isinstance(task, Step):
        return mentions_folder((*task.args, *task.kwargs.values()))
    if isinstance(task, Command):
        return mentions_folder((task.command, task.cwd, task.env))
    return isinstance(task, HydraApp) and mentions_folder((task.script, task.overrides))


@dataclass
class _Names:
    """Finds the steps that are meant by a name, before a place of a tree."""

    root: Node
    folder_of: FolderOf
    found: dict[tuple[int, str], tuple[list[str], bool]] = field(default_factory=dict)

    def paths(self, name: str, task: Task, place: TreePlace | None) -> Path | list[Path]:
        """The folder of the step, or the folders of its branches. Raises PlanError."""
        steps: list[str] = []
        several = False
        for node in PLAN.before(place):
            inside, in_parallel = self._in(node, name)
            steps = [*inside, *steps]
            several = several or in_parallel
        steps = called(name, steps)
        if not steps:
            raise self._refusal(name, task)
        if steps[0] == name or (len(steps) == 1 and not several):
            return self.folder_of(steps[0])
        return [self.folder_of(step) for step in steps]

    def _in(self, node: Node, name: str) -> tuple[list[str], bool]:
        """The steps of that name in a node, and whether one is in a Parallel of it."""
        if isinstance(node, Task):
            return called(name, (node.name,)), False
        key = (id(node), name)
        if key not in self.found:
            steps = called(name, (one.name for one in PLAN.steps(node) if isinstance(one, Task)))
            meant = set(steps)
            self.found[key] = (
                steps,
                any(
                    isinstance(one, Task) and one.name in meant and _is_in_parallel(at)
                    for one, at in (PLAN.places(node) if steps else ())
                ),
            )
        return self.found[key]

    def _refusal(self, name: str, task: Task) -> PlanError:
        shown = f"${{dir:{name}}}"
        names = [step.name for step in PLAN.steps(self.root) if isinstance(step, Task)]
        meant = called(name, names)
        if not meant:
            known = dict.fromkeys(map(plain_name, names))
            return PlanError(f"{shown}: the plan has no step {name!r}", hint=suggest(name, known))
        if meant == [task.name]:
            hint = "a step finds its own folder in $PLANIT_STEP_DIR and planit.current().dir"
            return PlanError(f"{shown} is the step's own folder", hint=hint)
        return PlanError(
            f"{shown}: step {name!r} does not come before it",
            hint="put both in a Chain: only a step that has succeeded has a folder to read",
        )


def _is_in_parallel(place: TreePlace | None) -> bool:
    while place is not None:
        if not PLAN.is_chain(place.group):
            return True
        place = place.above
    return False


def _resolved(task: Task, names: _Names, place: TreePlace | None) -> Task:
    """The step with paths in it."""

    def paths_of(name: str) -> Path | list[Path]:
        return names.paths(name, task, place)

    def text(value: str, what: str) -> str:
        made = text_with_paths(value, paths_of)
        if isinstance(made, list):
            message = f"{what}: {readable(value)} stands for the folders of several branches"
            hint = "in a command write it as a word without quotes: it becomes one word for each"
            raise PlanError(message, hint=hint)
        return made

    def words(value: str) -> list[str]:
        made = text_with_paths(value, paths_of)
        return made if isinstance(made, list) else [made]

    def argument(value: Any) -> Any:
        made = with_paths(value, paths_of)
        # A list in a configuration is what Hydra makes of one; this one was a text there.
        is_list = isinstance(value, str) and isinstance(made, list)
        return Unbuilt(made) if is_list and task.origin is not None else made

    made = copy.copy(task)
    if isinstance(made, Step):
        made.args = tuple(map(argument, made.args))
        made.kwargs = {key: argument(value) for key, value in made.kwargs.items()}
    elif isinstance(made, Command):
        made.cwd = None if made.cwd is None else text(made.cwd, "cwd")
        made.env = {key: text(value, f"env.{key}") for key, value in made.env.items()}
        if isinstance(made.command, str):
            made.command = _shell_text(made.command, words, lambda value: text(value, "command"))
        else:
            made.command = tuple(word for given in made.command for word in words(given))
    elif isinstance(made, HydraApp):
        made.overrides = tuple(_override(text_with_paths(one, paths_of)) for one in made.overrides)
        made.script = None if made.script is None else text(made.script, "script")
    return made


def _shell_text(command: str, words: Callable[[str], list[str]], text: Callable[[str], str]) -> str:
    """A text for a shell; a word of it that stands for several folders becomes as many words."""

    def expanded(match: re.Match[str]) -> str:
        made = words(match[0])
        before, after = command[: match.start()][-1:], command[match.end() :][:1]
        if len(made) > 1 and ((before in "'\"" and before) or (after in "'\"" and after)):
            return text(match[0])
        return " ".join(made)

    return _WORD.sub(expanded, command)


def _override(texts: str | list[str]) -> str:
    """An override; its value is a list where it stands for the folders of several branches."""
    if isinstance(texts, str):
        return texts
    key = texts[0].partition("=")[0]
    return f"{key}=[{','.join(one.partition('=')[2] for one in texts)}]"
