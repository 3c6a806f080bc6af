"""What a packed job says of its steps."""

from __future__ import annotations

import pytest

from planit.record.jobs import JobView
from planit.record.markers import (
    JOB_ENDED,
    TIME_LIMIT,
    Attempt,
    EndMarker,
    Outcome,
    StartMarker,
    StepError,
    Tries,
)
from planit.status.packed_steps import in_packed_job

NOW = 1000.0


def state(
    job: str,
    *,
    started: float | None = None,
    outcome: Outcome | None = None,
    error: str | None = None,
    elapsed_s: int = 100,
) -> str:
    """The state of a step, by that of its job, which runs for so many seconds."""
    at = Attempt(1, 0)
    found = None if error is None else StepError(error, "")
    end = None if outcome is None else EndMarker(outcome, error=found)
    starts = {} if started is None else {at: StartMarker(started=started)}
    tries = Tries(starts, {} if end is None else {at: end})
    view = JobView("7", job, elapsed_s)
    return in_packed_job(view, tries, started=bool(starts), end=end, at=NOW).state


@pytest.mark.parametrize(
    ("expected", "job", "more"),
    [
        ("PENDING", "PENDING", {}),
        ("PENDING", "RUNNING", {}),
        ("RUNNING", "RUNNING", {"started": 950.0}),
        ("COMPLETED", "RUNNING", {"started": 950.0, "outcome": Outcome.SUCCEEDED}),
        ("FAILED", "RUNNING", {"started": 950.0, "outcome": Outcome.FAILED}),
        ("TIMEOUT", "RUNNING", {"started": 950.0, "outcome": Outcome.KILLED, "error": TIME_LIMIT}),
        ("PENDING", "RUNNING", {"started": 950.0, "outcome": Outcome.REQUEUED}),
        # It ends with its job, of which Slurm says more when it has ended.
        ("RUNNING", "RUNNING", {"started": 950.0, "outcome": Outcome.KILLED, "error": JOB_ENDED}),
        ("COMPLETING", "COMPLETING", {"started": 950.0, "outcome": Outcome.TERMINATED}),
        # The job was requeued since: what succeeded did, the rest runs again.
        ("COMPLETED", "PENDING", {"started": 1.0, "outcome": Outcome.SUCCEEDED}),
        ("PENDING", "PENDING", {"started": 1.0, "outcome": Outcome.FAILED}),
        ("PENDING", "RUNNING", {"started": 1.0, "outcome": Outcome.FAILED}),
        ("PENDING", "RUNNING", {"started": 1.0}),
        # The job has ended.
        ("CANCELLED", "TIMEOUT", {}),
        ("TIMEOUT", "TIMEOUT", {"started": 950.0}),
        ("TIMEOUT", "TIMEOUT", {"started": 950.0, "outcome": Outcome.TERMINATED}),
        ("NODE_FAIL", "NODE_FAIL", {"started": 9.0, "outcome": Outcome.KILLED, "error": JOB_ENDED}),
        ("FAILED", "TIMEOUT", {"started": 950.0, "outcome": Outcome.FAILED}),
        ("COMPLETED", "TIMEOUT", {"started": 950.0, "outcome": Outcome.SUCCEEDED}),
        ("COMPLETED", "COMPLETED", {}),
    ],
)
def test_the_state_of_a_step(expected: str, job: str, more: dict[str, object]) -> None:
    assert state(job, **more) == expected  # type: ignore[arg-type]
