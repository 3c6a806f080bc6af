"""Wall times: every form of sbatch, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit import PlanError
from planit.nodes import walltime


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * 60),
        ("1", 60),
        ("90:30", 90 * 60 + 30),
        ("00:01", 1),
        ("01:00:00", 3600),
        ("1:02:03", 3723),
        ("36:00:00", 36 * 3600),
        ("100:00:01", 100 * 3600 + 1),
        ("2-0", 2 * 86400),
        ("1-12", 36 * 3600),
        ("1-12:30", 36 * 3600 + 30 * 60),
        ("1-12:30:15", 36 * 3600 + 30 * 60 + 15),
        ("0-00:00:01", 1),
    ],
)
def test_every_form_that_sbatch_accepts_is_read_as_sbatch_reads_it(text: str, seconds: int) -> None:
    assert walltime.parse(text) == timedelta(seconds=seconds)


WRONG = ["", " ", "abc", "1h", "1:2:3:4", "-1", "1-", "-1:00", "1:", ":30", "1.5", "1-2-3", "+5"]
SLIPPERY = ["01:00 ", "01:00:00\n", "٣:00:00", "1e3", "infinite", "1_000", "1-1:1:1:1"]


@pytest.mark.parametrize("text", [*WRONG, *SLIPPERY])
def test_anything_else_is_refused_with_the_forms_that_are_accepted(text: str) -> None:
    with pytest.raises(PlanError, match="is not a wall time") as caught:
        walltime.parse(text, "slurm.time")
    assert caught.value.message.startswith("slurm.time ")
    assert caught.value.hint == f"write it as {walltime.FORMS}"


@pytest.mark.parametrize(
    ("number", "quoted"), [(43200, '"12:00:00"'), (5400, '"1:30:00"'), (129600.0, '"1-12:00:00"')]
)
def test_a_number_from_yaml_is_refused_with_the_reason_and_the_fix(
    number: float, quoted: str
) -> None:
    with pytest.raises(PlanError, match="time must be text") as caught:
        walltime.parse(number)
    hint = caught.value.hint or ""
    assert "base 60" in hint
    assert "quotes" in hint
    assert quoted in hint


@pytest.mark.parametrize(
    ("number", "quoted"), [(30, "0:30:00"), (1.5, "0:01:30"), (90, "1:30:00"), (7200, "5-00:00:00")]
)
def test_a_number_is_told_to_be_minutes(number: float, quoted: str) -> None:
    """As on the command line: slurm.time=30."""
    with pytest.raises(PlanError) as caught:
        walltime.parse(number)
    hint = caught.value.hint or ""
    assert "MM" in hint
    assert f"for {number:g} minutes" in hint
    assert hint.endswith(f'write "{quoted}"')
    assert ("base 60" in hint) == (number >= 60)


@pytest.mark.parametrize("value", [None, True, ["1:00"], timedelta(hours=1), b"1:00"])
def test_what_is_neither_text_nor_a_number_is_refused_without_talk_of_yaml(value: Any) -> None:
    with pytest.raises(PlanError, match="must be text") as caught:
        walltime.parse(value)
    assert "base 60" not in (caught.value.hint or "")


@pytest.mark.parametrize("text", ["0", "0:00", "00:00:00", "0-0", "0-00:00:00"])
def test_zero_is_refused_because_sbatch_reads_it_as_no_limit(text: str) -> None:
    with pytest.raises(PlanError, match="no limit"):
        walltime.parse(text)


def test_a_time_that_no_clock_holds_is_refused_as_too_long() -> None:
    with pytest.raises(PlanError, match="too long"):
        walltime.parse("9" * 30)


SECONDS = st.integers(min_value=1, max_value=400 * 86_400)


@given(SECONDS)
def test_clock_and_parse_are_inverse(seconds: int) -> None:
    duration = timedelta(seconds=seconds)
    assert walltime.parse(walltime.clock(duration)) == duration


@given(st.integers(0, 400), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_all_forms_of_one_duration_agree(days: int, hours: int, minutes: int, seconds: int) -> None:
    duration = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    assert walltime.parse(f"{days}-{hours}:{minutes}:{seconds}") == duration
    assert walltime.parse(f"{days * 24 + hours:02}:{minutes:02}:{seconds:02}") == duration
    assert walltime.parse(f"{(days * 24 + hours) * 60 + minutes}:{seconds}") == duration
    if minutes + hours + days:
        whole = timedelta(days=days, hours=hours, minutes=minutes)
        assert walltime.parse(f"{days}-{hours}:{minutes}") == whole
        assert walltime.parse(str(int(whole.total_seconds()) // 60)) == whole


@given(SECONDS)
def test_whole_minutes_rounds_up_and_never_down(seconds: int) -> None:
    minutes = walltime.whole_minutes(timedelta(seconds=seconds))
    assert (minutes - 1) * 60 < seconds <= minutes * 60


def test_the_clock_is_written_as_the_specification_writes_it() -> None:
    assert walltime.clock(timedelta(hours=5)) == "5:00:00"
    assert walltime.clock(timedelta()) == "0:00:00"
    assert walltime.clock(timedelta(hours=30, seconds=1)) == "1-06:00:01"
