"""Folders of other steps as arguments: ``train.dir / "model.pt"``, in YAML ``${dir:train}``.

Until the plan is submitted a text or a `StepFolder` stands for them; see `planit.graph.folders`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

from planit.errors import PlanError
from planit.nodes.arguments import Unbuilt

OPEN = "⟦dir:"
"""Begins what stands in a text for a step's folder. No name, shell or YAML has these brackets."""
_CLOSE = "⟧"
PLACEHOLDER = re.compile(f"{OPEN}([^{_CLOSE}]*){_CLOSE}")


def placeholder(name: str) -> str:
    """The text that stands for a step's folder in other texts."""
    return f"{OPEN}{name}{_CLOSE}"


def readable(text: str) -> str:
    """A text with its placeholders as a configuration has them: ``${dir:train}``."""
    return PLACEHOLDER.sub(r"${dir:\1}", text) if OPEN in text else text


class StepFolder:
    """The folder of a step, or a path in it, before there is a run: ``train.dir / "model.pt"``.

    As an argument of a later step (also in lists and mappings) it becomes a `pathlib.Path` when the
    plan is submitted; in the text of a `Command` the path. Where several branches of the step
    stand before the later step it becomes a list.

    Args:
        step: name of the step.
        below: the path in its folder, with slashes.
    """

    __slots__ = ("below", "step")

    step: str
    below: str

    def __init__(self, step: str, below: str = "") -> None:
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "below", below)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{name} of a step's folder cannot be changed")

    def __truediv__(self, other: Any) -> StepFolder:
        """A path in the folder. Raises PlanError for an absolute one."""
        more = Path(other)
        if more.is_absolute():
            raise PlanError(
                f"{self!r} / {str(more)!r}: the path is absolute", hint="give one in the folder"
            )
        return StepFolder(self.step, str(Path(self.below, more)))

    def __str__(self) -> str:
        return placeholder(self.step) + (f"/{self.below}" if self.below else "")

    def __repr__(self) -> str:
        return readable(str(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StepFolder) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __copy__(self) -> StepFolder:
        return self

    def __deepcopy__(self, memo: Any) -> StepFolder:
        return self

    def __reduce__(self) -> NoReturn:
        """Refuse to go into a job: where planit has not found it, it would not be a path there."""
        raise PlanError(
            f"{self!r} is inside an object, where planit does not replace it",
            hint="pass it as an argument, or in a list or a mapping",
        )


def folder_of(name: str, kind: str) -> StepFolder:
    """The folder of the step or sweep of a name. Raises PlanError if it has none yet."""
    if not name:
        raise PlanError(
            f"a {kind.lower()} without a name has no dir", hint=f"name it: {kind}(name, ...)"
        )
    return StepFolder(name)


Paths: TypeAlias = Callable[[str], Path | list[Path]]
"""Gives the folder of the step of a name; a list where it has several branches."""


def mentions_folder(values: Iterable[Any]) -> bool:
    """Whether a step's folder stands in arguments, or in their lists, tuples and mappings."""
    stack, seen = list(values), set()
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            if OPEN in item:
                return True
        elif isinstance(item, StepFolder):
            return True
        elif isinstance(item, Unbuilt):
            stack.append(item.content)
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            stack.extend(item.values() if isinstance(item, dict) else item)
    return False


def with_paths(value: Any, paths_of: Paths) -> Any:
    """An argument with paths instead of what stands for folders; itself if there is none in it.

    Raises:
        PlanError: a text with the folders of two steps that have several branches; whatever
            `paths_of` raises.
    """
    if isinstance(value, StepFolder):
        found = paths_of(value.step)
        if not isinstance(found, list):
            return found / value.below
        return [one / value.below for one in found]
    if isinstance(value, str):
        return text_with_paths(value, paths_of)
    if isinstance(value, Unbuilt):
        content = with_paths(value.content, paths_of)
        return value if content is value.content else Unbuilt(content)
    return _container(value, paths_of) if mentions_folder([value]) else value


def _container(value: Any, paths_of: Paths) -> Any:
    if isinstance(value, dict):
        copied = copy.copy(value)
        copied.update((key, with_paths(item, paths_of)) for key, item in value.items())
        return copied
    items = [with_paths(item, paths_of) for item in value]
    if isinstance(value, tuple):
        return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
    copied = copy.copy(value)
    copied[:] = items
    return copied


def text_with_paths(text: str, paths_of: Paths) -> str | list[str]:
    """A text with paths put in; a list of texts if a step in it has several branches.

    Raises:
        PlanError: two steps in it have several branches; whatever `paths_of` raises.
    """
    whole = readable(text)
    several: tuple[str, list[Path]] | None = None
    for name in dict.fromkeys(PLACEHOLDER.findall(text)):
        found = paths_of(name)
        if not isinstance(found, list):
            text = text.replace(placeholder(name), str(found))
        elif several is None:
            several = placeholder(name), found
        else:
            raise PlanError(
                f"{whole!r} has the folders of two steps with several branches",
                hint="give each of them an argument of its own",
            )
    if several is None:
        return text
    return [text.replace(several[0], str(path)) for path in several[1]]
