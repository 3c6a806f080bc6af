"""The steps that a word means: a step's name, its name without the branch, or a pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Sequence

from planit.record.history import Leaf


def steps_named(leaves: Sequence[Leaf], word: str) -> list[Leaf]:
    """The steps that `word` means, in the order of the plan; none if it means none.

    Args:
        leaves: the steps of a run.
        word: the exact name of a step, which always wins; or the name of a step without its
            branch, for all of its branches (``train`` for ``train[lr=0.1]`` and the others); or a
            pattern, in which ``*`` is any text and ``?`` any character, and brackets are brackets
            (``train[lr=0.1*]``).
    """
    if found := [leaf for leaf in leaves if leaf.name == word]:
        return found
    if found := [leaf for leaf in leaves if _is_branch_of(leaf, word)]:
        return found
    if not word or not {"*", "?"}.intersection(word):
        return []
    match = re.compile(fnmatch.translate(word.replace("[", "[[]"))).fullmatch
    return [leaf for leaf in leaves if match(leaf.name) or match(leaf.base)]


def known_names(leaves: Collection[Leaf]) -> list[str]:
    """What can be typed for steps: their names without branches first, then in full."""
    return list(dict.fromkeys([*(leaf.base for leaf in leaves), *(leaf.name for leaf in leaves)]))


def _is_branch_of(leaf: Leaf, word: str) -> bool:
    return leaf.base == word or (bool(word) and leaf.name.startswith(f"{word}["))
