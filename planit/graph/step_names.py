"""The steps that a word means: a step's name, its name without the branch, or a pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class _Step(Protocol):
    """A step of a plan, or as a run's record has it."""

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> str: ...


StepT = TypeVar("StepT", bound=_Step)


def steps_named(steps: Sequence[StepT], word: str) -> list[StepT]:
    """The steps that `word` means, in the order of the plan; none if it means none.

    Args:
        steps: all of them.
        word: the exact name of a step, which always wins; or the name of a step without its
            branch, for all of its branches (``train`` for ``train[lr=0.1]`` and the others); or a
            pattern, in which ``*`` is any text and ``?`` any character, and brackets are brackets
            (``train[lr=0.1*]``).
    """
    if found := [step for step in steps if step.name == word]:
        return found
    if found := [step for step in steps if _is_branch_of(step, word)]:
        return found
    if not word or not {"*", "?"}.intersection(word):
        return []
    match = re.compile(fnmatch.translate(word.replace("[", "[[]"))).fullmatch
    return [step for step in steps if match(step.name) or match(step.base)]


def known_names(steps: Collection[_Step]) -> list[str]:
    """What can be typed for steps: their names without branches first, then in full."""
    return list(dict.fromkeys([*(step.base for step in steps), *(step.name for step in steps)]))


def _is_branch_of(step: _Step, word: str) -> bool:
    return step.base == word or (bool(word) and step.name.startswith(f"{word}["))
