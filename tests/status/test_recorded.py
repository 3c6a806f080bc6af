"""The table of states against the evidence that runs on Slurm and on this machine left."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planit.status.decide import decide
from tests.status.rows import Row, evidence_of, verdict_of

ROWS: list[Row] = json.loads(Path(__file__).with_name("evidence.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "row", ROWS, ids=lambda row: f"{row['state']}-{row['test'].split('::')[-1]}"
)
def test_the_state_is_as_it_was_in_the_run(row: Row) -> None:
    assert decide(evidence_of(row)) == verdict_of(row)


def test_there_are_enough_rows_of_enough_kinds() -> None:
    assert len(ROWS) >= 60
    assert len({row["state"] for row in ROWS}) >= 10
