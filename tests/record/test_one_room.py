"""The names of the files in a run directory are in ``planit/record`` and nowhere else."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import planit

PACKAGE = Path(planit.__file__).parent
# What a name of a file in a run directory has in it, or begins with.
NAME = re.compile(
    r"\.(jsonl?|pkl|out|log|exit)\b|\.rank|(^|/)(steps|stages|submissions|code|local|requests)/"
    r"|%[atAj]\.|planit:(?! )"
)
FOLDERS = {
    "steps", "stages", "submissions", "code", "local", "requests", "tasks", "calls", "lock"
}  # fmt: skip


def literals(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of each literal that names a file; docstrings and comments are not meant."""
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in documentation:
            is_help = isinstance(node.value, str) and "\n" in node.value.strip()
            if isinstance(node.value, str) and NAME.search(node.value) and not is_help:
                yield node.lineno, node.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            name = node.right
            if isinstance(name, ast.Constant) and name.value in FOLDERS:
                yield node.lineno, str(name.value)


def found_in(folder: Path) -> list[str]:
    return [
        f"{path.relative_to(PACKAGE)}:{line}: {text!r}"
        for path in sorted(folder.rglob("*.py"))
        for line, text in literals(ast.parse(path.read_text(encoding="utf-8")))
    ]


def test_no_file_of_a_run_directory_is_named_outside_of_record() -> None:
    outside = [line for line in found_in(PACKAGE) if not line.startswith("record/")]
    assert outside == []


def test_the_names_in_record_are_noticed() -> None:
    """So that the test above can fail."""
    seen = "\n".join(found_in(PACKAGE / "record"))
    for name in ("checkpoint.pkl", "manifest.json", ".log", ".exit", ".json", "planit:"):
        assert name in seen, name
    assert list(literals(ast.parse('path / "steps" / f"{slug}/{n}.json"')))
