"""How an attempt at a step started and ended, as its record has it (see `task_files`).

Only an end marker says that an attempt has ended, and how.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from planit.record import fields

TIME_LIMIT = "TimeLimit"
"""The type of error of a step that its own time limit ended."""

JOB_ENDED = "JobEnded"
"""The type of error of a step that ended because the job that it is packed in did."""


class Outcome(enum.StrEnum):
    """How an attempt at a step ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TERMINATED = "terminated"
    KILLED = "killed"
    BLOCKED = "blocked"
    REQUEUED = "requeued"


class Attempt(NamedTuple):
    """One try at a step: the submission that it belongs to, and Slurm's restart count in it."""

    submission: int
    restart: int

    def __str__(self) -> str:
        return f"{self.submission}.{self.restart}"


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


class JobIdentity(NamedTuple):
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
        job_id, cluster = fields.text(content, "job_id"), fields.text(content, "cluster")
        return cls(job_id, cluster, fields.text(content, "host"), fields.text(content, "node"))


class StartMarker(NamedTuple):
    """A step has started.

    Attributes:
        job: the job.
        started: seconds since 1970.
        pid: of the step's process.
    """

    job: JobIdentity = JobIdentity()
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
        result: what the step returned, if that is plain data (see `planit.record.plain_data`).
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
    result: Any = None

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
            "result": self.result,
        }

    @classmethod
    def from_json(cls, content: Any) -> EndMarker | None:
        """Read one; None if it does not say how the attempt ended."""
        if not isinstance(content, Mapping):
            return None
        try:
            outcome = Outcome(fields.text(content, "outcome") or "")
        except ValueError:
            return None
        return cls(
            outcome=outcome,
            exit_code=fields.whole(content, "exit_code") or 0,
            job=JobIdentity.from_json(content),
            started=fields.number(content, "started"),
            ended=fields.number(content, "ended"),
            elapsed_s=fields.number(content, "elapsed_s"),
            ranks=fields.whole(content, "ranks") or 1,
            error=StepError.from_json(content.get("error")),
            peak_memory_bytes=fields.whole(content, "peak_memory_bytes"),
            peak_gpu_memory_bytes=fields.whole(content, "peak_gpu_memory_bytes"),
            result=content.get("result"),
        )


@dataclass(frozen=True)
class Tries:
    """The attempts at a step, by the markers in their records."""

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
