"""Tickets: which jobs of a submission may run."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.record.tickets import Ticket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return RunDir.create(tmp_path, "p").path


def test_a_ticket_names_the_jobs_and_the_steps(path: Path) -> None:
    jobs = {0: JobRef(None, "12"), 7: JobRef("beta", "12")}
    tickets.issue(path, 1, jobs, ["a", "b"])
    assert tickets.read(path, 1) == Ticket(jobs, frozenset({"a", "b"}), None)
    assert tickets.read(path, 2) is None
    assert tickets.path_of(path, 1) == path / "submissions" / "1.jobs.json"


def test_a_revoked_ticket_lets_nothing_run(path: Path) -> None:
    tickets.issue(path, 1, {0: JobRef(None, "12")}, ["a"])
    tickets.revoke(path, 1, "refused")
    assert tickets.read(path, 1) == Ticket({}, (), "refused")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"jobs": 3, "steps": []}',
        '{"jobs": {"x": ["1", null]}, "steps": []}',
        '{"jobs": {"0": []}, "steps": []}',
        '{"jobs": {"0": 3}, "steps": []}',
        '{"jobs": {}}',
        '{"jobs": {}, "steps": 3}',
    ],
)
def test_a_torn_or_foreign_ticket_is_none(path: Path, text: str) -> None:
    tickets.path_of(path, 1).write_text(text)
    assert tickets.read(path, 1) is None
