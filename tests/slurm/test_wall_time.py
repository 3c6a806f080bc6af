"""Steps that exceed their time limit. The run was submitted with the first test (conftest)."""

from __future__ import annotations

import pytest

from planit import Run
from tests.cluster import Cluster
from tests.slurm.tools import begin_now, lines, settled, until

pytestmark = pytest.mark.slurm


def test_exceeding_the_time_limit_fails_a_step_unless_it_saves_itself(
    slurm: Cluster, late: Run
) -> None:
    base = late.path.parents[1]

    until(lambda: begin_now(late, "saves") and len(lines(base / "saves")) == 2, 150)
    found = settled(late, 150)
    assert found == {
        "too_slow": "TIMEOUT",
        "behind_slow": "BLOCKED",
        "saves": "DONE",
        "behind_saves": "DONE",
    }
    steps = {step.name: step for step in late.status().steps}
    assert steps["too_slow"].cause == "exceeded the time limit"
    assert steps["behind_slow"].cause == "blocked by too_slow: TIMEOUT"
    assert lines(base / "saves") == ["attempt 1", "attempt 2"]
    assert steps["saves"].attempt == 2
    assert lines(base / "ran") == ["behind_saves"]
