"""What is obviously not of the type that a parameter is annotated with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType

import pytest

from planit.job.annotations import Annotations, accepts
from planit.nodes.arguments import Unbuilt

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers

Rate = NewType("Rate", float)


class Mine:
    """Any class of the user's."""


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 3), (float, 3), (float, 0.5), (complex, 1.5), (str, "x"), (bool, True), (int, True),
        (Path, "x"), (Mine, 3), (Mine, None), (Any, None), (None, None), (int | None, None),
        (int | str, "x"), (Literal["a", "b"], "a"), (Rate, 1), (Annotated[int, "m"], 3),
        (list, Unbuilt([1])), (list[int], Unbuilt([1, 2])), (tuple[int, ...], Unbuilt([1])),
        (Sequence[str], "x"), (dict, Unbuilt({"a": 1})), (Mapping[str, int], Unbuilt({"a": 1})),
        (int, Unbuilt({"_target_": "x.y"})), (int, Unbuilt("${hydra:job.num}")),
        (list[int], Unbuilt([{"_target_": "x.y"}])), (int, Mine()),
    ],
)  # fmt: skip
def test_what_may_be_meant_is_taken(annotation: Any, value: Any) -> None:
    assert accepts(annotation, value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, 1.5), (int, 1000.0), (int, "3"), (float, "fast"), (str, 3), (bool, "yes"), (bool, 2),
        (Path, 3), (int, None), (None, 3), (int | None, "x"), (int | float, "x"),
        (Literal["a", "b"], "c"), (Rate, "x"), (Annotated[int, "m"], "x"), (list, "x"), (list, 3),
        (list[int], Unbuilt([1, "x"])), (Sequence[int], 3), (dict, Unbuilt([1])),
        (Mapping[str, int], Unbuilt({"a": "x"})), (int, Unbuilt([1])), (str, Unbuilt({"a": 1})),
    ],
)  # fmt: skip
def test_what_is_certainly_something_else_is_not(annotation: Any, value: Any) -> None:
    assert not accepts(annotation, value)


def function(
    first: int,
    *rest: int,
    later: OnlyForTypeCheckers | None = None,
    name: Any = None,
    **more: int,
) -> None:
    """Annotations are text here."""


def test_each_argument_is_told_by_its_name_or_its_number() -> None:
    found = Annotations().mismatches(
        function, ("x", 1, "y"), {"name": None, "later": "z", "other": 1.5}
    )
    assert [tuple(one) for one in found] == [
        (0, "x", "int"),
        (2, "y", "int"),
        ("other", 1.5, "int"),
    ]


def test_a_call_that_does_not_bind_is_somebody_elses_problem() -> None:
    assert Annotations().mismatches(function, (), {}) == []
