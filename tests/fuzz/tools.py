"""Many random inputs of the command line, and what every one of them must keep."""

from __future__ import annotations

import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.helpers import Done, planit_here

EXAMPLES = int(os.environ.get("PLANIT_FUZZ_EXAMPLES") or (300 if os.environ.get("CI") else 100))
REFUSED = (2, 3, 4, 5)
_LIMIT_S = 60

fuzzed = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,  # `tried` has one for each command line
    suppress_health_check=list(HealthCheck),
)

ESCAPE = "\x1b[31m"
TEXTS = st.one_of(
    st.sampled_from(["", "x", "null", "0", "-1", "../x", "a/b", "${x}", "${", ESCAPE, "\0", "é"]),
    st.text(max_size=8),
)
NUMBERS = st.one_of(
    st.integers(-2, 3),
    st.sampled_from([10**9, 10**18, 10**40, 0.5, 1e300, float("inf"), float("nan")]),
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=4,
)


class TooSlowError(BaseException):
    """Nothing that planit catches."""


@contextmanager
def _time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TooSlowError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def tried(words: list[str], cwd: Path) -> Done:
    """A command line, which has to end: one that ends in a traceback raises it here."""
    with _time_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Hydra's, which here would be errors
        try:
            return planit_here(*words, cwd=cwd)
        except SystemExit as ended:  # such as the end of --help
            return Done(int(ended.code or 0), "", "")


def assert_told(done: Done, *, raw_output: bool = False) -> None:
    """An error is told as one, in a few lines that a terminal only shows."""
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err
    assert raw_output or "\x1b" not in done.out
    if done.code == 0:
        assert "error" not in done.err
        return
    assert done.err or done.out
    told = [line for line in done.err.splitlines() if line.startswith("planit: error: ")]
    assert len(told) <= 1
    if done.code in REFUSED and told:
        assert len(done.err.splitlines()) <= 3, done.err


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each part of plain data."""
    yield here
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*here, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*here, index))


def replaced(value: Any, place: tuple[Any, ...], new: Any, *, remove: bool = False) -> Any:
    """A copy of plain data with another value at a place, or without what is there."""
    if not place:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    if len(place) == 1 and remove:
        del copy[place[0]]
    elif len(place) == 1:
        copy[place[0]] = new
    else:
        copy[place[0]] = replaced(copy[place[0]], place[1:], new, remove=remove)
    return copy
