"""Markers: what is left in a step's folder when the step starts, reports and ends.

::

    start-<n>.<r>.json            written by the step's process before it does anything
    report-<n>.<r>[.<rank>].json  written by the step's process (each rank): how its call ended
    end-<n>.<r>.json              written when the process has ended, by whoever waited for it

n is the submission, and r counts how often Slurm requeued it. Only an end marker says that a step
has ended, and how.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.record.files import read_json, write_json

_NAME = re.compile(r"(start|end)-(\d+)\.(\d+)\.json")
_AHEAD = 3  # attempts without any marker that are passed over when one is looked for by name


@dataclass(frozen=True, order=True)
class Attempt:
    """One try at a step: the submission that it belongs to, and Slurm's restart count in it."""

    submission: int
    restart: int

    def __str__(self) -> str:
        return f"{self.submission}.{self.restart}"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Attempt:
        return cls(
            int(environ.get("PLANIT_SUBMISSION", "1")),
            int(environ.get("PLANIT_RESTART") or environ.get("SLURM_RESTART_COUNT") or "0"),
        )


@dataclass(frozen=True)
class Tries:
    """The markers of a step, by attempt."""

    starts: dict[Attempt, dict[str, Any]]
    ends: dict[Attempt, dict[str, Any]]
    problems: tuple[str, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The latest attempt that left a marker."""
        return max([*self.starts, *self.ends], default=None)

    @property
    def count(self) -> int:
        """How often the step was started."""
        return len(self.starts)

    def outcome(self, attempt: Attempt) -> str | None:
        """How an attempt ended by its marker, or None if it has not."""
        end = self.ends.get(attempt)
        return None if end is None else str(end.get("outcome"))

    def end(self, attempt: Attempt) -> dict[str, Any]:
        """The end marker of an attempt, or an empty one."""
        return self.ends.get(attempt, {})


def any_of(all_tries: Iterable[Tries], submission: int) -> bool:
    """Whether a step of a submission has ever started."""
    attempts = (attempt for tries in all_tries for attempt in (*tries.starts, *tries.ends))
    return any(attempt.submission == submission for attempt in attempts)


def write_start(step_dir: Path, attempt: Attempt, content: dict[str, Any]) -> None:
    """Write a start marker, atomically."""
    write_json(_start(step_dir, attempt), content)


def has_started(step_dir: Path, attempt: Attempt) -> bool:
    """Whether an attempt has left its start marker."""
    return _start(step_dir, attempt).exists()


def write_report(step_dir: Path, attempt: Attempt, rank: int, content: dict[str, Any]) -> None:
    """Write what the process of one rank says of its end, atomically."""
    write_json(_report(step_dir, attempt, rank), content)


def read_reports(step_dir: Path, attempt: Attempt) -> dict[int, dict[str, Any]]:
    """What the ranks of an attempt reported, by rank; those that reported nothing are missing."""
    reports: dict[int, dict[str, Any]] = {}
    first = read_json(_report(step_dir, attempt, 0))
    names = re.compile(rf"report-{re.escape(str(attempt))}\.(\d+)\.json")
    if isinstance(first, dict):
        reports[0] = first
    if first is None or first.get("ranks", 1) > 1:
        with suppress(OSError):
            for name in os.listdir(step_dir):
                if match := names.fullmatch(name):
                    content = read_json(step_dir / name)
                    if isinstance(content, dict):
                        reports[int(match[1])] = content
    return reports


def report_is_the_end(step_dir: Path, attempt: Attempt) -> None:
    """Make the first rank's report the end marker."""
    os.replace(_report(step_dir, attempt, 0), _end(step_dir, attempt))


def write_end(step_dir: Path, attempt: Attempt, content: dict[str, Any]) -> None:
    """Write an end marker, atomically; the first rank's report goes with it."""
    write_json(_end(step_dir, attempt), content)
    with suppress(OSError):
        _report(step_dir, attempt, 0).unlink()


def end_file_in_bash(step_dir: str, attempt: str) -> str:
    """The end marker's path as a script writes it, from the shell's words for its parts."""
    return f"{step_dir}/end-{attempt}.json"


def read(step_dir: Path) -> Tries:
    """All markers in a step's folder; foreign files are passed over, broken markers reported."""
    starts: dict[Attempt, dict[str, Any]] = {}
    ends: dict[Attempt, dict[str, Any]] = {}
    problems: list[str] = []
    try:
        names = os.listdir(step_dir)
    except OSError:
        return Tries({}, {})
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        content = read_json(step_dir / name)
        attempt = Attempt(int(match[2]), int(match[3]))
        if not isinstance(content, dict):
            problems.append(f"{step_dir.name}/{name} is not readable")
        elif match[1] == "start":
            starts.setdefault(attempt, content)
        else:
            ends[attempt] = content
    return Tries(starts, ends, tuple(problems))


def final_outcome(step_dir: Path, submission: int) -> str | None:
    """How the newest attempt of a submission at a step ended; None if that has not ended (yet).

    It asks for files by name, because the listing of a folder on a network file system may be
    minutes old. Only what did not succeed at once is listed.
    """
    attempt = Attempt(submission, 0)
    end = read_json(_end(step_dir, attempt))
    succeeded = isinstance(end, dict) and end.get("outcome") == "succeeded"
    if succeeded and not _start(step_dir, Attempt(submission, 1)).exists():
        return "succeeded"
    tries = read(step_dir)
    own = [one for one in (*tries.starts, *tries.ends) if one.submission == submission]
    restart = max((one.restart for one in own), default=0)
    for later in range(restart + _AHEAD, restart, -1):
        if _begun(step_dir, Attempt(submission, later)):
            restart = later
            break
    content = read_json(_end(step_dir, Attempt(submission, restart)))
    return str(content.get("outcome")) if isinstance(content, dict) else None


def _begun(step_dir: Path, attempt: Attempt) -> bool:
    return _start(step_dir, attempt).exists() or _end(step_dir, attempt).exists()


def _start(step_dir: Path, attempt: Attempt) -> Path:
    return step_dir / f"start-{attempt}.json"


def _end(step_dir: Path, attempt: Attempt) -> Path:
    return step_dir / f"end-{attempt}.json"


def _report(step_dir: Path, attempt: Attempt, rank: int) -> Path:
    suffix = f".{rank}" if rank else ""
    return step_dir / f"report-{attempt}{suffix}.json"
