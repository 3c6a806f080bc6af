"""Which steps a word means."""

from __future__ import annotations

import pytest

from planit.graph.step_names import steps_named
from planit.record.history import Leaf

LEAVES = [
    Leaf("prepare", "prepare", "5", "prepare"),
    *(
        Leaf(f"{base}[lr={lr},seed={seed}]", "-", "5", base)
        for lr in ("0.1", "0.15", "1")
        for seed in (0, 1)
        for base in ("train", "train_big")
    ),
]


@pytest.mark.parametrize(
    ("word", "count"),
    [
        ("prepare", 1),
        ("train", 6),
        ("train_big", 6),
        ("train[lr=0.1,seed=0]", 1),
        ("train[lr=0.1*]", 4),
        ("train[lr=0.1,*]", 2),
        ("train*[lr=1,seed=?]", 4),
        ("*seed=0]", 6),
        ("trai?", 6),
        ("*", 13),
        ("trai", 0),
        ("train[lr=0.1", 0),
        ("train[lr=[01]*]", 0),
        ("[pt]*", 0),
        ("", 0),
    ],
)
def test_a_word_is_a_name_all_branches_or_a_pattern(word: str, count: int) -> None:
    assert len(steps_named(LEAVES, word)) == count


def test_an_exact_name_wins_over_branches_and_patterns() -> None:
    named = [
        Leaf("a*", "-", "5", "a*"),
        Leaf("ab", "-", "5", "ab"),
        Leaf("a*[x=1]", "-", "5", "a*"),
    ]
    assert steps_named(named, "a*") == named[:1]
