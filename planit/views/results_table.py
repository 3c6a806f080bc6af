"""The results of a run's branches as a table: for a terminal, as CSV, as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from planit.errors import ConfigError, suggest
from planit.nodes.walltime import clock
from planit.status.result_rows import RunResults, StepResult
from planit.status.states import printable

JSON_SCHEMA = 1
_STEP, _STATE, _RESULT, _ELAPSED = "step", "state", "result", "elapsed_s"
_FIXED = (_STEP, _STATE, _ELAPSED)
_MAX_SHOWN = 40  # characters of a cell on a terminal


@dataclass(frozen=True)
class ResultTable:
    """Rows with named columns: swept parameters, state, the fields of the result, elapsed time.

    A field in a mapping in a mapping is called ``outer.inner``. Where a field is called like a
    swept parameter, or like one of the other columns, its column is ``result.NAME``.

    Attributes:
        rows: what each row is about.
        cells: the cells of each row by column; what it lacks is missing.
        columns: the names, in order.
    """

    rows: Sequence[StepResult]
    cells: Sequence[Mapping[str, Any]]
    columns: Sequence[str]

    @classmethod
    def of(cls, rows: Sequence[StepResult]) -> ResultTable:
        """All rows, and whatever columns they have."""
        swept = dict.fromkeys(key for row in rows for key in row.values)
        names = {key: f"values.{key}" if key in _FIXED else key for key in swept}
        taken = {*names.values(), *_FIXED}
        fields: dict[str, None] = {}
        cells = []
        for row in rows:
            own = {f"{_RESULT}.{k}" if k in taken else k: v for k, v in _fields(row.result)}
            fields |= dict.fromkeys(own)
            given = {names[key]: value for key, value in row.values.items()}
            fixed = {_STEP: row.step, _STATE: row.state.value, _ELAPSED: row.elapsed_s}
            cells.append({**given, **own, **fixed})
        return cls(rows, cells, [_STEP, *names.values(), _STATE, *fields, _ELAPSED])

    def where(self, conditions: Iterable[str]) -> ResultTable:
        """The rows for which all of these hold: ``lr=0.1``, as text or as a number.

        Raises:
            ConfigError: one is not ``COLUMN=VALUE``, or there is no such column.
        """
        keep = list(range(len(self.rows)))
        for condition in conditions:
            name, equals, value = condition.partition("=")
            if not equals:
                raise ConfigError(f"--where {condition}: not a condition", hint="--where lr=0.1")
            name = self._column(name, "--where")
            keep = [at for at in keep if _matches(self.cells[at].get(name), value)]
        return self._only(keep)

    def sorted(self, keys: Sequence[str]) -> ResultTable:
        """The rows by these columns, the first one first; ``-NAME`` has the largest first.

        Numbers come before text; NaN, and then what is missing, are last either way.

        Raises:
            ConfigError: there is no such column.
        """
        order = list(range(len(self.rows)))
        for key in reversed(keys):
            falls = key.startswith("-") and key not in self.columns
            name = self._column(key[1:] if falls else key, "--sort")
            kinds: tuple[list[tuple[Any, int]], ...] = ([], [], [], [])
            for at in order:
                kind, value = _sortable(self.cells[at].get(name))
                kinds[kind].append((value, at))
            for found in kinds[:2]:
                found.sort(key=lambda pair: pair[0], reverse=falls)  # stable, also if reversed
            order = [at for found in kinds for _, at in found]
        return self._only(order)

    def _only(self, order: Sequence[int]) -> ResultTable:
        rows, cells = [self.rows[at] for at in order], [self.cells[at] for at in order]
        return ResultTable(rows, cells, self.columns)

    def _column(self, name: str, option: str) -> str:
        """A column by its name; before there is any result, a column may still come."""
        name = _ELAPSED if name == "elapsed" and name not in self.columns else name
        if name in self.columns or not any(row.result is not None for row in self.rows):
            return name
        raise ConfigError(f"{option}: no column {name!r}", hint=suggest(name, self.columns))

    def text(self) -> str:
        """Aligned columns; the names of the steps only where swept parameters do not do."""
        shown = [name for name in self.columns if name != _STEP or not self._tells_apart()]
        table = [
            [_HEADS.get(name, printable(name)) for name in shown],
            *([_SHOWN.get(name, _cell)(own.get(name)) for name in shown] for own in self.cells),
        ]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        right = [self._is_of_numbers(name) for name in shown]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if is_number else cell.ljust(width)
                for cell, width, is_number in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in table
        )

    def _tells_apart(self) -> bool:
        values = [json.dumps(row.values, sort_keys=True, default=str) for row in self.rows]
        return all(row.values for row in self.rows) and len(set(values)) == len(values)

    def _is_of_numbers(self, name: str) -> bool:
        values = [value for own in self.cells if (value := own.get(name)) is not None]
        return bool(values) and all(isinstance(value, int | float) for value in values)

    def csv(self) -> str:
        """The same with a line of names; numbers in full, what is missing empty, seconds."""
        lines = [self.columns, *([own.get(name) for name in self.columns] for own in self.cells)]
        return "\n".join(",".join(map(_csv, line)) for line in lines)

    def json(self, results: RunResults, path: str) -> dict[str, Any]:
        """The rows as plain data.

        ``schema`` (int), ``plan``, ``run``, ``path`` (str), ``step`` (str, or null for several) and
        ``rows``, each with ``step``, ``values`` (object), ``state``, ``result``, ``pickled`` (bool:
        it returned something that is not plain data) and ``elapsed_s``. JSON has no NaN and no
        infinities: they are the texts "NaN", "Infinity" and "-Infinity". Fields may be added; none
        will be removed without a new ``schema``.
        """
        return {
            "schema": JSON_SCHEMA,
            "plan": results.status.plan,
            "run": results.status.run_id,
            "path": path,
            "step": results.step,
            "rows": [
                {
                    "step": row.step,
                    "values": _strict(row.values),
                    "state": row.state.value,
                    "result": _strict(row.result),
                    "pickled": row.is_pickled,
                    "elapsed_s": row.elapsed_s,
                }
                for row in self.rows
            ],
        }


def _fields(result: Any) -> Iterator[tuple[str, Any]]:
    """The columns of a result; any depth that JSON has been read with."""
    if not isinstance(result, Mapping):
        if result is not None:
            yield _RESULT, result
        return
    for key, value in result.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{inner}", item) for inner, item in _fields(value))
        else:
            yield key, value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.6g}" if isinstance(value, float) else _text(value)
    text = printable(text)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"


def _clock(value: Any) -> str:
    return "-" if value is None else clock(timedelta(seconds=round(value)))


_HEADS = {_ELAPSED: "elapsed"}
_SHOWN: Mapping[str, Callable[[Any], str]] = {_ELAPSED: _clock}


def _csv(value: Any) -> str:
    """A cell as RFC 4180 has it; what is no character is written as Python does."""
    text = "" if value is None else _text(value)
    text = text.encode(errors="backslashreplace").decode()
    if not any(character in text for character in ',"\r\n'):
        return text
    doubled = text.replace('"', '""')
    return f'"{doubled}"'


def _text(value: Any) -> str:
    """A value as it is compared: text as it is, anything else as in JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _matches(value: Any, wanted: str) -> bool:
    if _text(value) == wanted:
        return True
    try:
        return not isinstance(value, bool) and float(value) == float(wanted)
    except (OverflowError, TypeError, ValueError):
        return False


def _sortable(value: Any) -> tuple[int, Any]:
    """Numbers are of kind 0, text of kind 1, and the others have no order; and what to compare."""
    if value is None:
        return 3, None
    if isinstance(value, float) and math.isnan(value):
        return 2, None
    return (0, value) if isinstance(value, int | float) else (1, _text(value))


def _strict(value: Any) -> Any:
    """Plain data without numbers that JSON does not have."""
    if isinstance(value, float) and not math.isfinite(value):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list) else value
