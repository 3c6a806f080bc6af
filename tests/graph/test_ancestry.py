"""What stands before a step, held against the plain meaning of a tree."""

from __future__ import annotations

import pytest
from hypothesis import given

from planit import Chain, Node, Parallel
from planit.graph import lower
from planit.graph.ancestry import PLAN, called, plain_name
from planit.nodes import Task
from tests.graph.reference import ancestors, parents_of, trees
from tests.helpers import step


def _names(nodes: list[Node]) -> list[str]:
    return [node.name for node in nodes if isinstance(node, Task)]


@given(trees)
def test_ancestors_are_all_that_must_have_succeeded(root: Node) -> None:
    found = {_names([one])[0]: _names(PLAN.ancestors(place)) for one, place in PLAN.places(root)}
    assert {name: frozenset(before) for name, before in found.items()} == ancestors(root)
    order = list(found)
    assert all(before == sorted(before, key=order.index) for before in found.values())


@given(trees)
def test_parents_are_those_of_the_stages(root: Node) -> None:
    found = {_names([one])[0]: _names(PLAN.parents(place)) for one, place in PLAN.places(root)}
    lowered = parents_of(lower(root, stack=False))
    assert {name: set(before) for name, before in found.items()} == {
        name: set(before) for name, before in lowered.items()
    }


def test_empty_groups_let_through_what_stands_before_them() -> None:
    root = Chain(step("a"), Parallel(step("b"), Chain()), Chain(), Parallel(), step("c"))
    *_, (_, place) = PLAN.places(root)
    assert _names(PLAN.parents(place)) == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("train", ["train[lr=1]", "train[lr=2]"]),
        ("train[lr=1]", ["train[lr=1]"]),
        ("train_all", ["train_all"]),
        ("trai", []),
    ],
)
def test_a_name_means_the_step_or_its_branches(name: str, meant: list[str]) -> None:
    assert called(name, ["train[lr=1]", "train[lr=2]", "train_all"]) == meant


def test_the_plain_name_is_without_the_branch() -> None:
    assert [plain_name(name) for name in ("train[lr=1]", "train", "[odd]")] == [
        "train",
        "train",
        "[odd]",
    ]
