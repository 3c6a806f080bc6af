"""Files of a run with JSON that is whole, but not what planit writes: passed over, or named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from planit import Chain, Parallel
from planit.errors import RunError
from planit.record import context, lock, tickets
from planit.record.run_dir import RunDir
from tests.memory import MemoryScheduler
from tests.runs import a, begin, end, history, status, submitted

DEEP = "[" * 100_000
ODD = ["null", "3", '"x"', "[]", "{}", "[[]]", "1e999", DEEP]
_ODD_ENTRY = (
    '"state": "FAILED", "job": "2_0", "cluster": null, "forgotten": 1, "elapsed_s": [], "node": 3,'
    ' "cause": {}, "error": 3, "attempt": "x", "missing_since": {}'
)
CACHED = [
    '{"steps": 3, "stages": 3}',
    '{"steps": {"a": 3}}',
    '{"steps": {"a": {"state": []}}}',
    '{"steps": {"a": {"state": "DONE", "job": [], "elapsed_s": "x"}}}',
    f'{{"steps": {{"b": {{{_ODD_ENTRY}}}}}}}',
]
EVENTS = [
    '{"event": ["released"]}',
    '{"event": "released", "number": "x"}',
    '{"event": "submitted", "number": 1, "stage": 0}',
    '{"event": "submitted", "number": 1, "stage": [], "job": "9"}',
    '{"event": "submitted", "number": 1, "stage": 0, "job": {}}',
    '{"event": "cancelled", "number": 1e999, "steps": 3}',
    DEEP,
]
RECORDS = [
    *ODD,
    '{"outcome": []}',
    '{"outcome": "succeeded", "elapsed_s": 1e999, "started": NaN}',
    '{"outcome": "failed", "error": {"type": [], "message": 3}, "exit_code": "x"}',
    '{"started": 1e300}',
]


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def run(slurm: MemoryScheduler, tmp_path: Path) -> RunDir:
    """One step is done, one has failed, and the third waits."""
    made = submitted(slurm, tmp_path, Chain(a("a"), Parallel(a("b"), a("c"))))
    begin(made, "a")
    end(made, "a")
    begin(made, "b")
    end(made, "b", "failed", "broken")
    slurm.set("1", "COMPLETED")
    slurm.set("2_0", "FAILED")
    return made


@pytest.mark.parametrize("text", [*ODD, *CACHED])
def test_a_cache_of_other_types_is_passed_over(
    run: RunDir, slurm: MemoryScheduler, text: str
) -> None:
    before = status(run, slurm)
    (run.path / "states.json").write_text(text)
    assert status(run, slurm) == before


@pytest.mark.parametrize("text", [line for line in EVENTS if line != "{}"])
def test_a_line_of_the_journal_that_is_no_event_is_a_problem(
    run: RunDir, slurm: MemoryScheduler, text: str
) -> None:
    before = status(run, slurm)
    number = len(run.journal.path.read_text().splitlines()) + 1
    with run.journal.path.open("a") as file:
        file.write(text + "\n")
    found = status(run, slurm)
    assert found.steps == before.steps
    if '"cancelled"' not in text:
        assert found.problems == (f"journal.jsonl, line {number} is not a whole event",)


def test_a_journal_that_is_a_folder_is_named(run: RunDir, slurm: MemoryScheduler) -> None:
    run.journal.path.unlink()
    run.journal.path.mkdir()
    with pytest.raises(RunError, match=r"cannot read .*journal.jsonl: Is a directory"):
        status(run, slurm)


@pytest.mark.parametrize("text", RECORDS)
def test_a_record_of_other_types_is_a_problem_or_none(
    run: RunDir, slurm: MemoryScheduler, text: str
) -> None:
    (run.path / "stages" / "1.0" / "0.0.json").write_text(text)
    found = {step.name: step for step in status(run, slurm).steps}
    assert found["b"].state == "FAILED"
    assert not found["a"].elapsed_s


@pytest.mark.parametrize("text", [*ODD, '{"stages": [3]}', '{"stages": [{"number": 1e999}]}'])
def test_a_submission_of_other_types_is_a_problem(
    run: RunDir, slurm: MemoryScheduler, text: str
) -> None:
    (run.path / "submissions" / "1.json").write_text(text)
    found = status(run, slurm)
    if text != '{"stages": []}':
        assert "submissions/1.json is not readable" in found.problems
    assert {step.state.value for step in found.steps} == {"NOT_SUBMITTED"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("tasks", '["x"]'), ("tasks", "[]"), ("tasks", '["a", 3]'), ("options", "[]"),
        ("options", '{"time": 3}'), ("options", '{"time": "soon"}'), ("cluster", "[]"),
        ("array", "3"), ("edges", '[["afterok", 0]]'), ("edges", '[["after", 1]]'),
        ("number", '"0"'),
    ],
)  # fmt: skip
def test_a_stage_that_is_not_as_it_was_written_is_a_problem(
    run: RunDir, key: str, value: str
) -> None:
    path = run.path / "submissions" / "1.json"
    content = json.loads(path.read_text())
    content["stages"][0][key] = json.loads(value)
    path.write_text(json.dumps(content))
    assert history(run).problems == ["submissions/1.json is not readable"]


@pytest.mark.parametrize("text", [*ODD, '{"host": 3, "pid": "../x", "start": []}'])
def test_a_lock_of_other_types_is_old_at_last(run: RunDir, text: str) -> None:
    path = run.path / "lock"
    path.write_text(text)
    os.utime(path, (0, 0))
    assert lock.owner_of(run.path) is None
    with lock.RunLock(run.path):
        pass


@pytest.mark.parametrize("text", ODD)
def test_a_context_or_ticket_of_other_types_says_nothing(run: RunDir, text: str) -> None:
    (run.path / "submissions" / "1.context.json").write_text(text)
    (run.path / "submissions" / "1.jobs.json").write_text(text)
    found = context.read(run.path, 1)
    assert (list(found.sys_path), dict(found.backend), found.umask) == ([], {}, None)
    assert tickets.read(run.path, 1) is None


def test_folders_that_are_gone_are_no_records(run: RunDir, slurm: MemoryScheduler) -> None:
    shutil.rmtree(run.path / "stages")
    (run.path / "stages").write_text("")
    assert [step.name for step in status(run, slurm).steps] == ["a", "b", "c"]
