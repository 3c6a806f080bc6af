"""Markers: what the worker leaves in a step's folder when the step starts and when it ends.

``start-<n>.<r>.json`` and ``end-<n>.<r>.json``, where n is the submission and r counts how often
Slurm requeued it; a job of several Slurm tasks adds ``.<rank>`` for every rank but the first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.record.files import read_json, write_json

_NAME = re.compile(r"(start|end)-(\d+)\.(\d+)(?:\.(\d+))?\.json")


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
    ends: dict[Attempt, dict[int, dict[str, Any]]]
    problems: tuple[str, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The latest attempt that left a marker."""
        return max([*self.starts, *self.ends], default=None)

    @property
    def count(self) -> int:
        """How often the step was started."""
        return len({*self.starts, *self.ends})

    def outcome(self, attempt: Attempt) -> str | None:
        """How an attempt ended by its markers, or None while one of its ranks has none."""
        ends = self.ends.get(attempt, {})
        for end in ends.values():
            if end.get("outcome") != "succeeded":
                return str(end.get("outcome"))
        ranks = ends.get(0, {}).get("ranks", 1)
        return "succeeded" if ends and len(ends) >= ranks else None

    def end(self, attempt: Attempt) -> dict[str, Any]:
        """The end marker that says most: that of a rank that failed, or the first rank's."""
        ends = self.ends.get(attempt, {})
        bad = [end for end in ends.values() if end.get("outcome") != "succeeded"]
        return (bad or list(ends.values()) or [{}])[0]


def any_of(all_tries: Iterable[Tries], submission: int) -> bool:
    """Whether a step of a submission has ever started."""
    attempts = (attempt for tries in all_tries for attempt in (*tries.starts, *tries.ends))
    return any(attempt.submission == submission for attempt in attempts)


def write(step_dir: Path, kind: str, attempt: Attempt, rank: int, content: dict[str, Any]) -> None:
    """Write a start or end marker, atomically."""
    suffix = f".{rank}" if rank else ""
    write_json(step_dir / f"{kind}-{attempt}{suffix}.json", content)


def read(step_dir: Path) -> Tries:
    """All markers in a step's folder; foreign files are passed over, broken markers reported."""
    starts: dict[Attempt, dict[str, Any]] = {}
    ends: dict[Attempt, dict[int, dict[str, Any]]] = {}
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
            ends.setdefault(attempt, {})[int(match[4] or 0)] = content
    return Tries(starts, ends, tuple(problems))
