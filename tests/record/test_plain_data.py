"""What of a return value is kept as JSON."""

from __future__ import annotations

import enum
import json
import math
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit.record.plain_data import MAX_BYTES, PlainData, plain_data

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Color(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@given(PLAIN)
def test_plain_data_survive_the_way_through_json_not_a_number_too(value: Any) -> None:
    found = plain_data(value)
    assert found is not None
    assert found.exact
    assert repr(json.loads(json.dumps(found.value))) == repr(value)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ((0.1, 2), [0.1, 2]),
        ({"a": (1,)}, {"a": [1]}),
        (OrderedDict(a=1), {"a": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Color.RED, "red"),
        ({Color.RED: Level.HIGH}, {"red": 3}),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int8(-3), -3),
        (np.bool_(True), True),
        (np.str_("x"), "x"),
        (np.array(7), 7),
        ({"loss": np.float64("inf")}, {"loss": math.inf}),
    ],
)
def test_what_is_nearly_plain_is_kept_as_the_plain_data_that_it_means(
    value: Any, plain: Any
) -> None:
    found = plain_data(value)
    assert found == PlainData(plain, exact=False)
    assert repr(found.value) == repr(plain)


def cyclic() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


def doubled(times: int) -> list[Any]:
    """Few lists, which written down are many."""
    made: list[Any] = []
    for _ in range(times):
        made = [made, made]
    return made


@pytest.mark.parametrize(
    "value",
    [
        {1: 2},
        {1, 2},
        b"bytes",
        1j,
        object(),
        int,
        [object()],
        np.arange(3),
        np.longdouble(1),
        np.datetime64("2026-01-01"),
        np.complex128(1),
        cyclic(),
        pytest.param(10**5000, id="a long number"),
    ],
)
def test_anything_else_is_not_plain(value: Any) -> None:
    assert plain_data(value) is None


@pytest.mark.parametrize(
    "value", ["x" * MAX_BYTES, [0] * MAX_BYTES, {"x" * MAX_BYTES: 1}, ["\0"] * 10_000, doubled(60)]
)
def test_what_takes_more_than_64_kb_is_not_kept(value: Any) -> None:
    assert plain_data(value) is None


def test_as_much_as_64_kb_are_kept() -> None:
    text = "x" * (MAX_BYTES - 2)  # without the quotes
    assert plain_data(text) == PlainData(text, exact=True)
