"""Evidence as rows of a file, and back."""

from __future__ import annotations

import json

from planit.record.jobs import JobView
from planit.record.markers import EndMarker, Outcome, StepError
from planit.status.decide import LOST_AFTER_S, decide
from planit.status.evidence import Answer, Evidence
from planit.status.states import State
from tests.status.recorder import anonymous, distinct
from tests.status.rows import as_row, evidence_of, verdict_of

FULL = Evidence(
    cancelled=True,
    starts=2,
    started=True,
    end=EndMarker(Outcome.FAILED, 7, error=StepError("ValueError", "broken")),
    answer=Answer.QUEUED,
    view=JobView("12", "FAILED", 7, "n1", "NonZeroExitCode", started=False, cause="x"),
    missing_s=1.0,
    last=State.RUNNING,
    memory_complaint=True,
)


def test_evidence_comes_back_from_its_row() -> None:
    for evidence in (
        Evidence(),
        FULL,
        Evidence(submitted=False),
        Evidence(aborted="x", has_job=False),
    ):
        row = json.loads(json.dumps(as_row(evidence, decide(evidence))))
        assert evidence_of(row) == evidence
        assert verdict_of(row) == decide(evidence)


def test_a_row_holds_only_what_is_not_as_usual() -> None:
    assert as_row(Evidence(), decide(Evidence()))["evidence"] == {}


def test_what_differs_from_run_to_run_is_replaced() -> None:
    row = {
        "cause": "job 77_3 of 20261128-003624-886-0e4a: no /tmp/x/y.py, pid 9",
        "evidence": {"missing_s": LOST_AFTER_S + 7, "starts": 9},
        "more": {"missing_s": 7.0},
    }
    assert anonymous(row) == {
        "cause": "job 12 of run-id: no /folder/file, pid 12",
        "evidence": {"missing_s": LOST_AFTER_S, "starts": 2},
        "more": {"missing_s": 1.0},
    }


def test_rows_that_differ_in_the_words_of_an_error_are_of_one_kind() -> None:
    lines = [
        json.dumps({**as_row(one, decide(one)), "test": "t"})
        for one in (
            FULL,
            Evidence(end=EndMarker(Outcome.FAILED, 7, error=StepError("ValueError", "other"))),
            Evidence(end=EndMarker(Outcome.FAILED, 7, error=StepError("ValueError", "broken"))),
            Evidence(end=EndMarker(Outcome.FAILED, 7, error=StepError("TypeError", "broken"))),
        )
    ]
    assert len(distinct(lines)) == 3
