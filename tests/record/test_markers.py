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
from planit.record import markers
from planit.record.context import Context
from planit.record.markers import (
    Attempt,
    EndMarker,
    JobIdentity,
    Outcome,
    StartMarker,
    StepError,
    Tries,
)

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
)
WORDS = st.sampled_from(["", "succeeded", "message", "1.0", "\u00e9\n"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=3,
)
ANY_LOAD = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KEYS = sorted({*ENDED.as_json(), *StartMarker().as_json()})


def test_markers_come_back_as_they_were_written(tmp_path: Path) -> None:
    start = StartMarker(ENDED.job, 1.0, 77)
    markers.write_start(tmp_path, FIRST, start)
    markers.write_end(tmp_path, FIRST, ENDED)
    tries = markers.read(tmp_path)
    assert (tries.starts, tries.ends, tries.problems) == ({FIRST: start}, {FIRST: ENDED}, ())
    assert (tries.last, tries.count) == (FIRST, 1)


def test_each_rank_reports_for_itself_and_the_end_takes_the_first_report_away(
    tmp_path: Path,
) -> None:
    reports = {rank: replace(ENDED, exit_code=rank, ranks=3) for rank in (0, 1, 12)}
    for rank, report in reports.items():
        markers.write_report(tmp_path, FIRST, rank, report)
        markers.write_report(tmp_path, Attempt(1, 10), rank, ENDED)
    assert markers.read_reports(tmp_path, FIRST) == reports
    markers.write_end(tmp_path, FIRST, ENDED)
    assert set(markers.read_reports(tmp_path, FIRST)) == {1, 12}
    markers.report_is_the_end(tmp_path, Attempt(1, 10))
    assert markers.read(tmp_path).ends == {FIRST: ENDED, Attempt(1, 10): ENDED}


def test_a_step_of_one_process_has_one_report(tmp_path: Path) -> None:
    one = replace(ENDED, ranks=1)
    markers.write_report(tmp_path, FIRST, 0, one)
    markers.write_report(tmp_path, FIRST, 1, one)
    assert markers.read_reports(tmp_path, FIRST) == {0: one}


@pytest.mark.parametrize(
    ("markers_left", "outcome"),
    [
        ([], None),
        (["end 1.0 succeeded"], "succeeded"),
        (["end 1.0 failed"], "failed"),
        (["end 1.0 succeeded", "start 1.1"], None),
        (["end 1.0 requeued", "start 1.1", "end 1.1 succeeded"], "succeeded"),
        (["end 1.0 requeued", "end 1.3 failed"], "failed"),
        (["end 1.0 failed", "end 2.0 succeeded"], "failed"),
        (["end 2.5 succeeded"], None),
    ],
)
def test_the_newest_attempt_of_a_submission_tells_how_it_ended(
    tmp_path: Path, markers_left: list[str], outcome: str | None
) -> None:
    for line in markers_left:
        kind, number, *how = line.split()
        attempt = Attempt(*(int(part) for part in number.split(".")))
        if kind == "start":
            markers.write_start(tmp_path, attempt, StartMarker())
        else:
            markers.write_end(tmp_path, attempt, EndMarker(Outcome(how[0])))
    assert markers.final_outcome(tmp_path, 1) == outcome


def test_an_attempt_that_an_old_listing_does_not_show_yet_is_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    markers.write_end(tmp_path, FIRST, EndMarker(Outcome.REQUEUED))
    listing = os.listdir(tmp_path)
    markers.write_start(tmp_path, Attempt(1, 3), StartMarker())
    monkeypatch.setattr("os.listdir", lambda _path: listing)
    assert markers.final_outcome(tmp_path, 1) is None
    markers.write_end(tmp_path, Attempt(1, 3), EndMarker(Outcome.SUCCEEDED))
    assert markers.final_outcome(tmp_path, 1) is Outcome.SUCCEEDED


def test_whether_anything_of_a_submission_has_started() -> None:
    tries = [Tries(), Tries(starts={FIRST: StartMarker()}), Tries(ends={Attempt(3, 0): ENDED})]
    assert [markers.any_of(tries, number) for number in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize(
    ("environ", "attempt"),
    [
        ({}, FIRST),
        ({"PLANIT_SUBMISSION": "3"}, Attempt(3, 0)),
        ({"PLANIT_SUBMISSION": "3", "SLURM_RESTART_COUNT": "2"}, Attempt(3, 2)),
        ({"PLANIT_RESTART": "1", "SLURM_RESTART_COUNT": "2"}, Attempt(1, 1)),
        ({"PLANIT_RESTART": "", "SLURM_RESTART_COUNT": ""}, FIRST),
    ],
)
def test_an_attempt_is_known_by_the_environment(environ: dict[str, str], attempt: Attempt) -> None:
    assert Attempt.from_environment(environ) == attempt


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
def test_broken_end_marker_is_a_problem_and_not_an_end(tmp_path: Path, text: str) -> None:
    step = tmp_path / "train"
    step.mkdir()
    (step / "end-1.0.json").write_text(text)
    tries = markers.read(step)
    assert (tries.ends, tries.problems) == ({}, ("train/end-1.0.json is not readable",))
    assert markers.final_outcome(step, 1) is None


@pytest.mark.parametrize("text", ["{", "[]", '{"outcome": "succeeded", "ended": "x", "ranks": {}}'])
def test_broken_report_never_keeps_the_end_from_being_written(tmp_path: Path, text: str) -> None:
    markers.write_start(tmp_path, FIRST, StartMarker())
    (tmp_path / "report-1.0.json").write_text(text)
    outcome, code = end_step(tmp_path, FIRST, 9)
    assert (outcome, code) == (Outcome.FAILED, 9)
    end = markers.read(tmp_path).ends[FIRST]
    assert (end.outcome, end.exit_code) == (outcome, code)
    assert not (tmp_path / "report-1.0.json").exists()


def test_foreign_context_has_the_types_that_a_job_expects() -> None:
    from planit.record import context

    content = {"sys_path": ["/a", 3], "snapshot": {"/x.py": 1, "/y.py": "y"}, "umask": "022"}
    read = context._parse(json.loads(json.dumps(content)))
    assert read == Context(["/a"], {"/y.py": "y"}, None, {})
