"""A name stands for one thing in the whole package."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from tests.helpers import ROOT

PACKAGE = ROOT / "planit"

# Of one shape in every backend's folder.
SAME_SHAPE = {"backend", "client"}
# What a user runs is called as the user calls it, also where a room of the package is about it.
VERBS = {"status", "submit"}
# Python's own names, and the plugins' folder: Hydra looks for it in `hydra_plugins`.
FIXED = {"__main__", "planit"}


def modules() -> Iterator[tuple[str, Path]]:
    """Every module and folder of the package, by its last name."""
    for path in sorted(PACKAGE.rglob("*.py")):
        yield (path.parent.name if path.name == "__init__.py" else path.stem), path


def public_classes() -> Iterator[tuple[str, Path]]:
    for _, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield node.name, path


def shared(named: Iterator[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that stand for more than one thing, each with its places."""
    places = defaultdict(list)
    for name, path in named:
        places[name].append(str(path.relative_to(PACKAGE)))
    return {name: found for name, found in places.items() if len(found) > 1}


def test_no_two_modules_have_the_same_name() -> None:
    found = shared(modules())
    assert set(found) <= SAME_SHAPE | VERBS | FIXED, found
    for name in SAME_SHAPE & set(found):
        assert all(path.startswith("backends/") for path in found[name]), found[name]
    for name in VERBS:
        assert sorted(found[name]) == [f"app/verbs/{name}.py", f"{name}/__init__.py"]


def test_no_two_public_classes_have_the_same_name() -> None:
    assert shared(public_classes()) == {}


def test_below_the_app_no_module_imports_the_package_itself() -> None:
    """It would load all that is public, and the worker of every job needs little of it."""
    for _, path in modules():
        if path.is_relative_to(PACKAGE / "app") or path == PACKAGE / "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert "planit" not in [name.name for name in node.names], path
            elif isinstance(node, ast.ImportFrom):
                assert node.module != "planit", path
