"""The small changes that a test should notice, as edits of a module's text."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "!=", ast.NotEq: "==", ast.Lt: ">=", ast.LtE: ">", ast.Gt: "<=", ast.GtE: "<",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "//", ast.FloorDiv: "*", ast.Div: "*", ast.Mod: "*",
    ast.BitAnd: "|", ast.BitOr: "&",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One edit: the bytes from `start` to `end` of a file become `text`."""

    path: Path
    line: int
    start: int
    end: int
    text: str
    was: str

    def __str__(self) -> str:
        short = [" ".join(text.split())[:70] for text in (self.was, self.text)]
        return f"{self.path}:{self.line}: {short[0]}  ->  {short[1]}"

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants(path: Path) -> list[Mutant]:
    """All mutants of a module that are still Python."""
    source = path.read_bytes()
    starts = [0]
    for line in source.split(b"\n"):
        starts.append(starts[-1] + len(line) + 1)
    found = []
    for node, text in _edits(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        was = source[start:end].decode()
        found.append(Mutant(path, node.lineno, start, end, text, was))
    return [one for one in found if _is_python(one.applied(source))]


def _is_python(source: bytes) -> bool:
    try:
        ast.parse(source)
    except SyntaxError:
        return False
    return True


_Edit = tuple[ast.expr | ast.stmt, str]


def _edits(tree: ast.AST) -> Iterator[_Edit]:
    """Each changed node with its new text; what only documents or types is passed over."""
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.expr | ast.stmt):
            for change in _CHANGES:
                yield from change(node)
        stack += [child for child in ast.iter_child_nodes(node) if child not in _passed_over(node)]


def _passed_over(node: ast.AST) -> list[ast.AST]:
    """Children that are annotations, decorators, docstrings or exports."""
    left: list[ast.AST] = []
    if isinstance(node, ast.JoinedStr):  # Python 3.11 does not tell where its parts are
        left += node.values
    if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
        left.append(node.annotation)
    if isinstance(node, ast.FunctionDef):
        left += [*node.decorator_list, *([node.returns] if node.returns else [])]
    if isinstance(node, ast.ClassDef):
        left += node.decorator_list
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
        left += [one for one in node.body if _is_documentation(one)]
    return left


def _is_documentation(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _comparison(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
        yield node, f"{left} {_COMPARISONS[type(node.ops[0])]} {right}"


def _boolean(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield node, "(" + word.join(f"({ast.unparse(value)})" for value in node.values) + ")"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node, f"({ast.unparse(node.operand)})"


def _condition(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.If | ast.IfExp | ast.While) and not isinstance(node.test, ast.Compare):
        yield node.test, f"(not ({ast.unparse(node.test)}))"


def _arithmetic(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
        left, right = ast.unparse(node.left), ast.unparse(node.right)
        yield node, f"(({left}) {_ARITHMETIC[type(node.op)]} ({right}))"


def _constant(node: ast.AST) -> Iterator[_Edit]:
    """Another number, truth or key; strings with a space are words for people."""
    if not isinstance(node, ast.Constant):
        return
    if isinstance(node.value, bool):
        yield node, str(not node.value)
    elif isinstance(node.value, int | float):
        yield node, str(node.value + 1)
    elif isinstance(node.value, str) and node.value and " " not in node.value:
        yield node, repr(f"X{node.value}X")


def _return(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Return) and node.value and ast.unparse(node.value) != "None":
        yield node, "return None"


def _removal(node: ast.AST) -> Iterator[_Edit]:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield node, "pass"
    if isinstance(node, ast.Raise | ast.Continue | ast.Break | ast.AugAssign):
        yield node, "pass"
    if isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple):
        yield node, "pass"


_CHANGES: tuple[Callable[[ast.AST], Iterator[_Edit]], ...] = (
    _comparison, _boolean, _condition, _arithmetic, _constant, _return, _removal,
)  # fmt: skip
