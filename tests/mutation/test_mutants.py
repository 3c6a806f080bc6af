"""Which changes are made, and which places are passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import write
from tests.mutation.mutants import mutants


def changes(folder: Path, text: str) -> set[str]:
    """What each mutant makes of a module."""
    path = write(folder / "m.py", text)
    return {mutant.applied(text.encode()).decode() for mutant in mutants(path)}


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("x = a == b", {"x = a != b"}),
        ("x = a is not b", {"x = a is b"}),
        ("x = a in b", {"x = a not in b"}),
        ("x = a and b", {"x = ((a) or (b))"}),
        ("x = not a", {"x = (a)"}),
        ("x = a + b", {"x = ((a) - (b))"}),
        ("x = True", {"x = False"}),
        ("x = 1.5", {"x = 2.5"}),
        ("x = 'key'", {"x = 'XkeyX'"}),
        ("x = 'words for people'", set()),
        ("f(a)", {"pass"}),
        ("a.b = c", {"pass"}),
        ("x = c", set()),
        ("raise E", {"pass"}),
        ("if a: x", {"if (not (a)): x"}),
        ("def f():\n    return a", {"def f():\n    return None"}),
        ("def f():\n    return None", set()),
    ],
)
def test_a_change_of_each_kind(tmp_path: Path, text: str, made: set[str]) -> None:
    assert changes(tmp_path, text) == made


@pytest.mark.parametrize(
    "text",
    [
        '"""Docs."""',
        "@dataclass(frozen=True)\nclass A:\n    '''Docs.'''\n    x: Literal['a']",
        "def f(x: Literal['a']) -> Literal['b']:\n    '''Docs.'''",
        "if TYPE_CHECKING:\n    f(1)",
        "x = f'{a == b} words'",
    ],
)
def test_what_only_documents_or_types_is_left_alone(tmp_path: Path, text: str) -> None:
    assert changes(tmp_path, text) == set()


def test_places_behind_letters_of_several_bytes_are_met(tmp_path: Path) -> None:
    assert changes(tmp_path, "x = 'ä'; y = a < b") == {
        "x = 'XäX'; y = a < b",
        "x = 'ä'; y = a >= b",
    }


def test_a_mutant_says_where_it_is_and_what_it_changes(tmp_path: Path) -> None:
    path = write(tmp_path / "m.py", "\nx = a == b\n")
    assert [str(mutant) for mutant in mutants(path)] == [f"{path}:2: a == b  ->  a != b"]
