"""Markers as they may be found: torn, foreign, of another version."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planit.job.ending import end_step
from planit.record import context, trust
from planit.record.context import Context
from planit.record.markers import (
    Attempt,
    EndMarker,
    JobIdentity,
    Outcome,
    StartMarker,
    StepError,
)
from planit.record.stage_dir import StageDir
from planit.record.task_files import (
    TaskFiles,
    has_records,
    list_records,
    read_attempts,
    read_result,
    restart_count,
)
from tests.helpers import write

FIRST = Attempt(1, 0)
ENDED = EndMarker(
    Outcome.FAILED,
    7,
    JobIdentity("12_3", "genius", "host", "n1"),
    started=1.0,
    ended=3.5,
    elapsed_s=2.5,
    ranks=2,
    error=StepError("ValueError", "broken", "Traceback ..."),
    peak_memory_bytes=10**9,
    peak_gpu_memory_bytes=10**8,
    result={"loss": 0.5, "tags": ["a", None]},
)
WORDS = st.sampled_from(["", "succeeded", "message", "1.0", "\u00e9\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=3,
)
ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = sorted({*ENDED.as_json(), *StartMarker().as_json()})


@pytest.fixture
def files(tmp_path: Path) -> TaskFiles:
    """Those of task 3 of a stage."""
    made = TaskFiles(tmp_path, 1, 2, 3)
    made.folder.mkdir(parents=True)
    return made


def test_record_holds_the_start_and_then_the_end(files: TaskFiles) -> None:
    start = StartMarker(ENDED.job, 1.0, 77)
    files.write_start(0, start)
    tries = read_attempts(files.folder, 1, 3, [0])
    assert (tries.starts, tries.ends) == ({FIRST: start}, {})
    assert files.newest_end() is None
    files.write_end(0, ENDED)
    tries = read_attempts(files.folder, 1, 3, [0])
    assert (list(tries.starts), tries.ends, tries.problems) == ([FIRST], {FIRST: ENDED}, ())
    assert (tries.last, tries.count) == (FIRST, 1)
    assert files.newest_end() == (0, ENDED)
    assert [path.name for path in files.folder.iterdir()] == ["3.0.json"]


def test_report_becomes_the_record_with_what_the_step_returned(files: TaskFiles) -> None:
    files.write_start(0, StartMarker(started=1.0))
    files.write_report(0, 0, replace(ENDED, ranks=1), b"a pickle\nof two lines")
    files.end_with_report(0)
    assert files.end(0) == replace(ENDED, ranks=1)
    with trust.opened(files.run_path) as run:
        pickled = read_result(run, files, 0, 0)
    assert pickled == (replace(ENDED, ranks=1), b"a pickle\nof two lines")
    assert list_records(files.run_path, 1, 2) == {3: [0]}


def test_what_a_step_left_empty_is_removed(files: TaskFiles, tmp_path: Path) -> None:
    step = tmp_path / "step"
    for succeeded, written, left in ((False, "", True), (True, "x", True), (True, "", False)):
        step.mkdir()
        files.log().write_text(written)
        files.clean_up(step, succeeded=succeeded)
        assert not step.exists()
        assert files.log().exists() is left
    step.mkdir()
    (step / "kept").touch()
    files.clean_up(step, succeeded=True)
    assert step.exists()


def test_each_rank_reports_for_itself_and_the_end_takes_the_first_report_away(
    files: TaskFiles,
) -> None:
    reports = {rank: replace(ENDED, exit_code=rank, ranks=3) for rank in (0, 1, 12)}
    for rank, report in reports.items():
        files.write_report(0, rank, report, b"")
        files.write_report(10, rank, ENDED, b"")
    assert files.reports(0) == reports
    files.write_end(0, ENDED)
    assert set(files.reports(0)) == {1, 12}
    files.end_with_report(10)
    assert read_attempts(files.folder, 1, 3, [0, 10]).ends == {FIRST: ENDED, Attempt(1, 10): ENDED}


def test_a_step_of_one_process_has_one_report(files: TaskFiles) -> None:
    one = replace(ENDED, ranks=1)
    files.write_report(0, 0, one, b"")
    files.write_report(0, 1, one, b"")
    assert files.reports(0) == {0: one}


@pytest.mark.parametrize(
    ("left", "outcome"),
    [
        ([], None),
        (["end 0 succeeded"], "succeeded"),
        (["end 0 failed"], "failed"),
        (["end 0 succeeded", "start 1"], None),
        (["end 0 requeued", "start 1", "end 1 succeeded"], "succeeded"),
        (["end 0 requeued", "end 3 failed"], "failed"),
        (["end 0 requeued", "end 3 requeued", "end 6 failed"], "failed"),
        (["end 7 failed"], "failed"),
    ],
)
def test_the_newest_attempt_tells_how_the_task_ended(
    files: TaskFiles, left: list[str], outcome: str | None
) -> None:
    TaskFiles(files.run_path, 1, 2, 33).write_end(0, EndMarker(Outcome.KILLED))
    for line in left:
        kind, number, *how = line.split()
        if kind == "start":
            files.write_start(int(number), StartMarker(started=1.0))
        else:
            files.write_end(int(number), EndMarker(Outcome(how[0])))
    assert files.final_outcome() == outcome


def test_an_attempt_that_an_old_listing_does_not_show_yet_is_found_by_name(
    files: TaskFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_end(0, EndMarker(Outcome.REQUEUED))
    listing = os.listdir(files.folder)
    files.write_start(3, StartMarker(started=1.0))
    monkeypatch.setattr("os.listdir", lambda _path: listing)
    assert files.final_outcome() is None
    files.write_end(3, EndMarker(Outcome.SUCCEEDED))
    assert files.final_outcome() is Outcome.SUCCEEDED


def test_whether_anything_of_a_submission_has_started(files: TaskFiles) -> None:
    files.write_start(0, StartMarker(started=1.0))
    StageDir(files.run_path, 2, 0).path.mkdir()
    assert [has_records(files.run_path, number) for number in (1, 2, 3)] == [True, False, False]


@pytest.mark.parametrize(
    ("environ", "restart"),
    [
        ({}, 0),
        ({"SLURM_RESTART_COUNT": "2"}, 2),
        ({"PLANIT_RESTART": "1", "SLURM_RESTART_COUNT": "2"}, 1),
        ({"PLANIT_RESTART": "", "SLURM_RESTART_COUNT": ""}, 0),
    ],
)
def test_an_attempt_is_known_by_the_environment(environ: dict[str, str], restart: int) -> None:
    assert restart_count(environ) == restart


def test_a_task_is_known_by_the_environment(tmp_path: Path) -> None:
    environ = {"PLANIT_SUBMISSION": "3", "PLANIT_STAGE": "4", "PLANIT_TASK": "5"}
    assert TaskFiles.from_environment(tmp_path, environ) == TaskFiles(tmp_path, 3, 4, 5)


@ANY_LOAD
@given(st.dictionaries(st.sampled_from(KEYS), JSON) | JSON)
def test_foreign_json_is_read_as_a_marker_or_as_none(content: Any) -> None:
    """Whatever is in a marker, what is read of it has the types that the readers expect."""
    for marker in (EndMarker.from_json(content), StartMarker.from_json(content)):
        if marker is not None:
            assert type(marker).from_json(marker.as_json()) == marker


@ANY_LOAD
@given(st.dictionaries(st.sampled_from([*KEYS, "outcome"]), JSON), st.sampled_from(Outcome))
def test_known_outcome_with_foreign_fields_is_kept(content: dict[str, Any], how: Outcome) -> None:
    marker = EndMarker.from_json({**content, "outcome": how.value})
    assert marker is not None
    assert marker.outcome is how
    assert isinstance(marker.exit_code, int)
    assert marker.error is None or isinstance(marker.error.message, str)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", '{"outcome": 3}', '{"outcome": []}'])
def test_broken_record_is_a_problem_and_not_an_end(files: TaskFiles, text: str) -> None:
    files.record(0).write_text(text)
    tries = read_attempts(files.folder, 1, 3, [0])
    assert (tries.ends, tries.problems) == ({}, ("stages/1.2/3.0.json is not readable",))
    assert files.final_outcome() is None


@pytest.mark.parametrize("text", ["{", "[]", '{"outcome": "succeeded", "ended": "x", "ranks": {}}'])
def test_broken_report_never_keeps_the_end_from_being_written(files: TaskFiles, text: str) -> None:
    files.write_start(0, StartMarker(started=1.0))
    files.report(0, 0).write_text(text)
    outcome, code = end_step(files, 0, 9)
    assert (outcome, code) == (Outcome.FAILED, 9)
    end = files.end(0)
    assert end is not None
    assert (end.outcome, end.exit_code) == (outcome, code)
    assert not files.report(0, 0).exists()


def test_foreign_context_has_the_types_that_a_job_expects(tmp_path: Path) -> None:
    content = {"sys_path": ["/a", 3], "code": {"folders": {"/x.py": 1}}, "umask": "022"}
    write(tmp_path / "submissions" / "1.context.json", json.dumps(content))
    assert context.read(tmp_path, 1) == Context(["/a"])
