"""Markers as they may be found: torn, foreign, of another version."""

from __future__ import annotations

import json
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
