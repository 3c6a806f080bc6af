"""Wall times: text for people and sbatch, `timedelta` inside planit.

The forms are those of sbatch's ``--time`` (sbatch manual, "-t, --time"): minutes,
minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes and
days-hours:minutes:seconds.
"""

from __future__ import annotations

import re
from datetime import timedelta
from functools import lru_cache
from typing import Any

from planit.errors import PlanError

FORMS = "MM, MM:SS, HH:MM:SS, D-HH, D-HH:MM or D-HH:MM:SS"

_DAYS = re.compile(
    r"(?P<days>\d+)-(?P<hours>\d+)(?::(?P<minutes>\d+))?(?::(?P<seconds>\d+))?", re.ASCII
)
_CLOCK = re.compile(r"(?:(?P<hours>\d+):)?(?P<minutes>\d+):(?P<seconds>\d+)", re.ASCII)
_MINUTES = re.compile(r"(?P<minutes>\d+)", re.ASCII)

PATTERN = "|".join(re.sub(r"\(\?P<\w+>", "(?:", form.pattern) for form in (_DAYS, _CLOCK, _MINUTES))
"""A regular expression of the forms, as other languages have it too."""


def parse(value: Any, field: str = "time") -> timedelta:
    """The duration that sbatch reads in `value`.

    Raises:
        PlanError: `value` is not text (YAML turns an unquoted ``12:00:00`` into the number 43200,
            which sbatch would take for minutes), not one of the forms, or zero (which sbatch takes
            for "no limit").
    """
    if not isinstance(value, str):
        raise PlanError(f"{field} must be text, not {value!r}", hint=_not_text_hint(value))
    return _parse(value, field)


@lru_cache(maxsize=1000)  # thousands of steps have the same
def _parse(value: str, field: str) -> timedelta:
    for pattern in (_DAYS, _CLOCK, _MINUTES):
        if match := pattern.fullmatch(value):
            parts = {unit: int(number) for unit, number in match.groupdict(default="0").items()}
            break
    else:
        raise PlanError(f"{field} {value!r} is not a wall time", hint=f"write it as {FORMS}")
    try:
        duration = timedelta(**parts)
    except OverflowError:
        raise PlanError(f"{field} {value!r} is too long", hint=f"write it as {FORMS}") from None
    if not duration:
        raise PlanError(
            f"{field} {value!r} is zero, which sbatch reads as no limit at all",
            hint="give the time that the step needs",
        )
    return duration


_MIN_BASE_60 = 60  # YAML's numbers in base 60 begin at 1:00
_MAX_MEANT = 1e7  # minutes, 19 years


def _not_text_hint(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_MEANT:
        return f"write it as {FORMS}"
    minutes = clock(timedelta(minutes=value))
    if value < _MIN_BASE_60:
        return f'sbatch reads a number as minutes (MM): for {value:g} minutes write "{minutes}"'
    return (
        "YAML reads unquoted digits with colons as a number in base 60: put it in quotes, for"
        f' instance "{clock(timedelta(seconds=value))}"; for {value:g} minutes (MM, as sbatch'
        f' reads a number) write "{minutes}"'
    )


def clock(duration: timedelta) -> str:
    """``5:00:00``, and from one day on Slurm's own ``1-06:00:00``."""
    seconds = int(duration.total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, seconds = divmod(rest, 60)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{seconds:02}"
    return f"{hours}:{minutes:02}:{seconds:02}"


def whole_minutes(duration: timedelta) -> int:
    """`duration` in minutes, rounded up as sbatch does."""
    return -int(-duration.total_seconds() // 60)
