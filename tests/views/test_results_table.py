"""The table of results: its columns, what is kept of it, its order, and the forms that it has."""

from __future__ import annotations

import csv
import io
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit.errors import ConfigError
from planit.status.result_rows import RunResults, StepResult
from planit.status.states import RunStatus, State
from planit.views.results_table import ResultTable


def row(number: int, result: Any = None, state: State = State.DONE, **values: Any) -> StepResult:
    done = state is State.DONE
    return StepResult(f"t[{number}]", values, state, result, 61.4 if done else None)


ROWS = [
    row(0, {"accuracy": 0.91234567, "loss": {"val": 1}}, lr=0.1, model="bert"),
    row(1, None, State.RUNNING, lr=0.01, model="gpt"),
    row(2, {"accuracy": 0.95, "note": 'a,"b"\n'}, lr=0.1, model="10"),
    row(3, {"accuracy": math.nan}, lr=1e-05, model="bert"),
]
TABLE = ResultTable.of(ROWS)


def steps(table: ResultTable) -> list[str]:
    return [row.step for row in table.rows]


def test_columns_are_aligned_and_numbers_stand_at_the_right() -> None:
    assert TABLE.text() == (
        "   lr  model  state    accuracy  loss.val  note    elapsed\n"
        "  0.1  bert   DONE     0.912346         1  -       0:01:01\n"
        " 0.01  gpt    RUNNING         -         -  -             -\n"
        '  0.1  10     DONE         0.95         -  a,"b"�  0:01:01\n'
        "1e-05  bert   DONE          nan         -  -       0:01:01"
    )


def test_steps_that_values_do_not_tell_apart_are_named() -> None:
    lines = ResultTable.of([row(0, 5), row(1, [1, "x"])]).text().splitlines()
    assert lines == [
        "step  state  result    elapsed",
        "t[0]  DONE   5         0:01:01",
        't[1]  DONE   [1, "x"]  0:01:01',
    ]


def test_no_rows_are_a_line_of_names() -> None:
    assert ResultTable.of([]).text() == "state  elapsed"


def test_names_that_clash_are_told_apart() -> None:
    table = ResultTable.of(
        [StepResult("t", {"lr": 0.1, "state": "x"}, State.DONE, {"lr": 1, "state": 2, "step": 3})]
    )
    names = ["step", "lr", "values.state", "state", "result.lr", "result.state", "result.step"]
    assert table.columns == [*names, "elapsed_s"]
    assert table.cells[0]["result.state"] == 2


def test_long_and_wild_text_is_cut_and_plain() -> None:
    text = ResultTable.of([row(0, "x" * 100, lr=1), row(1, "\x1b[31m", lr=2)]).text()
    assert "x" * 39 + "…" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("key", "order"),
    [
        ("accuracy", [0, 2, 3, 1]),
        ("-accuracy", [2, 0, 3, 1]),  # what is missing or NaN is last either way
        ("lr", [3, 1, 0, 2]),
        ("-lr", [0, 2, 1, 3]),  # equal ones stay as they were
        ("model", [2, 0, 3, 1]),
        ("-state", [1, 0, 2, 3]),
        ("-elapsed", [0, 2, 3, 1]),
    ],
)
def test_rows_are_sorted_by_a_column(key: str, order: list[int]) -> None:
    assert steps(TABLE.sorted([key])) == [f"t[{number}]" for number in order]


def test_numbers_come_before_text_and_the_first_key_counts_first() -> None:
    table = ResultTable.of([row(0, "b", x=1), row(1, 2, x=1), row(2, 10, x=0), row(3, "a", x=0)])
    assert steps(table.sorted(["result"])) == ["t[1]", "t[2]", "t[3]", "t[0]"]
    assert steps(table.sorted(["-x", "-result"])) == ["t[1]", "t[0]", "t[2]", "t[3]"]


@pytest.mark.parametrize(
    ("conditions", "kept"),
    [
        (["lr=0.1"], [0, 2]),
        (["lr=1e-1"], [0, 2]),
        (["lr=0.10", "model=bert"], [0]),
        (["model=10.0"], [2]),
        (["state=RUNNING"], [1]),
        (["loss.val=1"], [0]),
        (["step=t[3]"], [3]),
        (["model=roberta"], []),
        (["accuracy=x"], []),
    ],
)
def test_rows_are_kept_by_text_and_by_number(conditions: list[str], kept: list[int]) -> None:
    assert steps(TABLE.where(conditions)) == [f"t[{number}]" for number in kept]


def test_truth_values_are_compared_as_words() -> None:
    table = ResultTable.of([row(0, {"ok": True}), row(1, {"ok": False})])
    assert steps(table.where(["ok=true"])) == ["t[0]"]
    assert steps(table.where(["ok=1"])) == []


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--sort: no column 'acuracy' \(did you mean accuracy"):
        TABLE.sorted(["-acuracy"])
    with pytest.raises(ConfigError, match="--where: no column 'x'"):
        TABLE.where(["x=1"])
    with pytest.raises(ConfigError, match=r"--where lr: not a condition \(--where lr=0.1\)"):
        TABLE.where(["lr"])


def test_before_there_is_a_result_any_column_may_still_come() -> None:
    table = ResultTable.of([row(0, None, State.RUNNING, lr=1)])
    assert steps(table.sorted(["-accuracy"])) == ["t[0]"]
    assert steps(table.where(["accuracy=1"])) == []


def test_csv_has_all_of_it() -> None:
    lines = list(csv.DictReader(io.StringIO(TABLE.csv())))
    assert list(lines[0]) == list(TABLE.columns)
    assert lines[0]["accuracy"] == "0.91234567"
    assert (lines[1]["accuracy"], lines[1]["elapsed_s"]) == ("", "")
    assert lines[2]["note"] == 'a,"b"\n'
    assert float(lines[3]["accuracy"]) != float(lines[3]["accuracy"])


def test_json_is_json_to_everybody() -> None:
    infinite = row(4, [math.inf, -math.inf], lr=math.nan)
    results = RunResults(RunStatus("p", "r", ()), "t", [*ROWS, infinite])
    made = json.loads(
        json.dumps(ResultTable.of(results.rows).json(results, "/runs/r"), allow_nan=False)
    )
    assert {key: made[key] for key in ("schema", "plan", "run", "path", "step")} == {
        "schema": 1, "plan": "p", "run": "r", "path": "/runs/r", "step": "t",
    }  # fmt: skip
    assert made["rows"][0] == {
        "step": "t[0]", "values": {"lr": 0.1, "model": "bert"}, "state": "DONE",
        "result": {"accuracy": 0.91234567, "loss": {"val": 1}}, "pickled": False, "elapsed_s": 61.4,
    }  # fmt: skip
    assert made["rows"][3]["result"] == {"accuracy": "NaN"}
    assert made["rows"][4]["result"] == ["Infinity", "-Infinity"]
    assert made["rows"][4]["values"] == {"lr": "NaN"}


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(st.lists(st.tuples(ANY, st.dictionaries(st.text(), ANY, max_size=2)), max_size=4))
def test_whatever_was_returned_can_be_shown_sorted_and_written(given_rows: list[Any]) -> None:
    rows = [
        StepResult(f"t{i}", values, State.DONE, one, 1)
        for i, (one, values) in enumerate(given_rows)
    ]
    table = ResultTable.of(rows)
    for name in table.columns:
        assert len(table.sorted([f"-{name}"]).rows) == len(rows)
    assert len(table.text().splitlines()) == len(rows) + 1
    assert len(list(csv.reader(io.StringIO(table.csv())))) == len(rows) + 1
    table.csv().encode()
    json.dumps(table.json(RunResults(RunStatus("p", "r", ()), None, rows), "x"), allow_nan=False)
