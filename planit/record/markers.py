"""Markers: what is left in a step's folder when the step starts, reports and ends.

::

    start-<n>.<r>.json            written by the step's process before it does anything
    report-<n>.<r>[.<rank>].json  written by the step's process (each rank): how its call ended
    end-<n>.<r>.json              written when the process has ended, by whoever waited for it

n is the submission, and r counts how often Slurm requeued it. Only an end marker says that a step
has ended, and how.
"""

from __future__ import annotations

import enum
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json, write_json

_NAME = re.compile(r"(start|end)-(\d+)\.(\d+)\.json")
_AHEAD = 3  # attempts without any marker that are passed over when one is looked for by name


class Outcome(enum.StrEnum):
    """How an attempt at a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TERMINATED = "terminated"
    KILLED = "killed"
    BLOCKED = "blocked"
    REQUEUED = "requeued"


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
class StepError:
    """What ended a step: the type of the exception (or planit's word), its text, its traceback."""

    type: str
    message: str
    traceback: str = ""

    def as_json(self) -> dict[str, str]:
        return {"type": self.type, "message": self.message, "traceback": self.traceback}

    @classmethod
    def from_json(cls, content: Any) -> StepError | None:
        if not isinstance(content, Mapping):
            return None
        words = (fields.text(content, key) or "" for key in ("type", "message", "traceback"))
        kind, message, traceback = words
        return cls(kind or "Error", message, traceback)


@dataclass(frozen=True)
class JobIdentity:
    """The job that wrote a marker, as squeue shows its id, and where it ran."""

    job_id: str | None = None
    cluster: str | None = None
    host: str | None = None
    node: str | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            "job_id": self.job_id,
            "cluster": self.cluster,
            "host": self.host,
            "node": self.node,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> JobIdentity:
        return cls(*(fields.text(content, key) for key in ("job_id", "cluster", "host", "node")))


@dataclass(frozen=True)
class StartMarker:
    """A step has started.

    Attributes:
        job: the job.
        started: seconds since 1970.
        pid: of the step's process.
    """

    job: JobIdentity = field(default_factory=JobIdentity)
    started: float | None = None
    pid: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {**self.job.as_json(), "started": self.started, "pid": self.pid}

    @classmethod
    def from_json(cls, content: Any) -> StartMarker | None:
        """Read one; None if it is not an object."""
        if not isinstance(content, Mapping):
            return None
        started, pid = fields.number(content, "started"), fields.whole(content, "pid")
        return cls(JobIdentity.from_json(content), started, pid)


@dataclass(frozen=True)
class EndMarker:
    """An attempt has ended; or, as a report, what one of its processes says of its end.

    Attributes:
        outcome: how.
        exit_code: of the process, 128 + n for signal n; of a report, what it leaves with.
        job: the job.
        started, ended: seconds since 1970.
        elapsed_s: seconds from start to end.
        ranks: processes that the step consists of.
        error: what ended it, unless it succeeded.
        peak_memory_bytes, peak_gpu_memory_bytes: the largest that was seen.
    """

    outcome: Outcome
    exit_code: int = 0
    job: JobIdentity = field(default_factory=JobIdentity)
    started: float | None = None
    ended: float | None = None
    elapsed_s: float | None = None
    ranks: int = 1
    error: StepError | None = None
    peak_memory_bytes: int | None = None
    peak_gpu_memory_bytes: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {
            **self.job.as_json(),
            "outcome": self.outcome.value,
            "exit_code": self.exit_code,
            "started": self.started,
            "ended": self.ended,
            "elapsed_s": self.elapsed_s,
            "ranks": self.ranks,
            "error": self.error and self.error.as_json(),
            "peak_memory_bytes": self.peak_memory_bytes,
            "peak_gpu_memory_bytes": self.peak_gpu_memory_bytes,
        }

    @classmethod
    def from_json(cls, content: Any) -> EndMarker | None:
        """Read one; None if it does not say how the attempt ended."""
        if not isinstance(content, Mapping) or content.get("outcome") not in list(Outcome):
            return None
        return cls(
            outcome=Outcome(content["outcome"]),
            exit_code=fields.whole(content, "exit_code") or 0,
            job=JobIdentity.from_json(content),
            started=fields.number(content, "started"),
            ended=fields.number(content, "ended"),
            elapsed_s=fields.number(content, "elapsed_s"),
            ranks=fields.whole(content, "ranks") or 1,
            error=StepError.from_json(content.get("error")),
            peak_memory_bytes=fields.whole(content, "peak_memory_bytes"),
            peak_gpu_memory_bytes=fields.whole(content, "peak_gpu_memory_bytes"),
        )


@dataclass(frozen=True)
class Tries:
    """The markers of a step, by attempt."""

    starts: Mapping[Attempt, StartMarker] = field(default_factory=dict)
    ends: Mapping[Attempt, EndMarker] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def last(self) -> Attempt | None:
        """The latest attempt that left a marker."""
        return max([*self.starts, *self.ends], default=None)

    @property
    def count(self) -> int:
        """How often the step was started."""
        return len(self.starts)


def any_of(all_tries: Iterable[Tries], submission: int) -> bool:
    """Whether a step of a submission has ever started."""
    attempts = (attempt for tries in all_tries for attempt in (*tries.starts, *tries.ends))
    return any(attempt.submission == submission for attempt in attempts)


def write_start(step_dir: Path, attempt: Attempt, marker: StartMarker) -> None:
    """Write a start marker, atomically."""
    write_json(_start(step_dir, attempt), {**marker.as_json(), "attempt": str(attempt)})


def has_started(step_dir: Path, attempt: Attempt) -> bool:
    """Whether an attempt has left its start marker."""
    return _start(step_dir, attempt).exists()


def write_report(step_dir: Path, attempt: Attempt, rank: int, report: EndMarker) -> None:
    """Write how the process of one rank ended by its own account, atomically."""
    content = {**report.as_json(), "attempt": str(attempt)}
    write_json(_report(step_dir, attempt, rank), content)


def read_reports(step_dir: Path, attempt: Attempt) -> dict[int, EndMarker]:
    """What the ranks of an attempt reported, by rank; those that reported nothing are missing."""
    reports: dict[int, EndMarker] = {}
    first = EndMarker.from_json(read_json(_report(step_dir, attempt, 0)))
    names = re.compile(rf"report-{re.escape(str(attempt))}\.(\d+)\.json")
    if first is not None:
        reports[0] = first
    if first is None or first.ranks > 1:
        with suppress(OSError):
            for name in os.listdir(step_dir):
                if match := names.fullmatch(name):
                    report = EndMarker.from_json(read_json(step_dir / name))
                    if report is not None:
                        reports[int(match[1])] = report
    return reports


def report_is_the_end(step_dir: Path, attempt: Attempt) -> None:
    """Make the first rank's report the end marker."""
    os.replace(_report(step_dir, attempt, 0), _end(step_dir, attempt))


def write_end(step_dir: Path, attempt: Attempt, marker: EndMarker) -> None:
    """Write an end marker, atomically; the first rank's report goes with it."""
    write_json(_end(step_dir, attempt), {**marker.as_json(), "attempt": str(attempt)})
    with suppress(OSError):
        _report(step_dir, attempt, 0).unlink()


def read(step_dir: Path) -> Tries:
    """All markers in a step's folder; foreign files are passed over, broken markers reported."""
    starts: dict[Attempt, StartMarker] = {}
    ends: dict[Attempt, EndMarker] = {}
    problems: list[str] = []
    try:
        names = os.listdir(step_dir)
    except OSError:
        return Tries()
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            continue
        content = read_json(step_dir / name)
        attempt = Attempt(int(match[2]), int(match[3]))
        if match[1] == "start" and (start := StartMarker.from_json(content)) is not None:
            starts[attempt] = start
        elif match[1] == "end" and (end := EndMarker.from_json(content)) is not None:
            ends[attempt] = end
        else:
            problems.append(f"{step_dir.name}/{name} is not readable")
    return Tries(starts, ends, tuple(problems))


def final_outcome(step_dir: Path, submission: int) -> Outcome | None:
    """How the newest attempt of a submission at a step ended; None if that has not ended (yet).

    It asks for files by name, because the listing of a folder on a network file system may be
    minutes old. Only what did not succeed at once is listed.
    """
    end = _read_end(step_dir, Attempt(submission, 0))
    if end is Outcome.SUCCEEDED and not _start(step_dir, Attempt(submission, 1)).exists():
        return end
    tries = read(step_dir)
    own = [one for one in (*tries.starts, *tries.ends) if one.submission == submission]
    restart = max((one.restart for one in own), default=0)
    for later in range(restart + _AHEAD, restart, -1):
        if _begun(step_dir, Attempt(submission, later)):
            restart = later
            break
    return _read_end(step_dir, Attempt(submission, restart))


def _read_end(step_dir: Path, attempt: Attempt) -> Outcome | None:
    end = EndMarker.from_json(read_json(_end(step_dir, attempt)))
    return None if end is None else end.outcome


def _begun(step_dir: Path, attempt: Attempt) -> bool:
    return _start(step_dir, attempt).exists() or _end(step_dir, attempt).exists()


def _start(step_dir: Path, attempt: Attempt) -> Path:
    return step_dir / f"start-{attempt}.json"


def _end(step_dir: Path, attempt: Attempt) -> Path:
    return step_dir / f"end-{attempt}.json"


def _report(step_dir: Path, attempt: Attempt, rank: int) -> Path:
    suffix = f".{rank}" if rank else ""
    return step_dir / f"report-{attempt}{suffix}.json"
