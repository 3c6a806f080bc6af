"""Every error that planit raises on purpose.

::

    PlanitError                 exit code 1
    ├── PlanError               2   the plan, a step or its SLURM arguments are wrong (a ValueError)
    ├── ConfigError             2   the configuration or the command line is wrong
    ├── SubmissionError         3   the scheduler refused; nothing of the plan is left in the queue
    ├── SchedulerError          4   the scheduler does not answer
    │   └── UnknownClusterError 4   it does not know a cluster of that name
    ├── RunError                5   the run directory is missing, locked or unreadable
    │   └── StorageError        5   nothing can be written there: full, over quota, read-only
    └── StepsFailedError        1   the plan ran, and steps of it failed

The command line prints `message` as one line and `hint` below it, and exits with `exit_code`.
Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PlanitError(Exception):
    """Base of the tree: one line that says what is wrong and where, and a hint how to fix it."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message} ({self.hint})"


class PlanError(PlanitError, ValueError):
    """A plan, a node or its SLURM arguments are not valid."""

    exit_code = 2


class ConfigError(PlanitError):
    """The configuration or the command line is not valid."""

    exit_code = 2


class SubmissionError(PlanitError):
    """The scheduler refused a job; whatever had been submitted before it was cancelled."""

    exit_code = 3


class SchedulerError(PlanitError):
    """The scheduler does not answer."""

    exit_code = 4


class UnknownClusterError(SchedulerError):
    """The scheduler does not know a cluster of that name, so no job can be on it."""


class RunError(PlanitError):
    """A run directory is missing, locked, or not readable as one."""

    exit_code = 5


class StorageError(RunError):
    """Nothing can be written to a run directory: its file system is full, read-only or broken.

    Attributes:
        reason: in the system's words, such as ``No space left on device``.
    """

    def __init__(self, message: str, *, hint: str | None = None, reason: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class StepsFailedError(PlanitError):
    """The plan ran as far as it can, and one or more steps did not succeed.

    `failures` maps each failed step's name to its traceback (or to what the scheduler reports
    of it), and `blocked` names the steps that therefore never ran. Those of `failures` that are in
    `waiting` did not fail, but will not start.
    """

    def __init__(
        self,
        plan: str,
        failures: dict[str, str],
        blocked: Iterable[str] = (),
        waiting: Iterable[str] = (),
    ) -> None:
        self.failures = dict(failures)
        self.blocked = tuple(blocked)
        left = [name for name in waiting if name in failures]
        failed = [name for name in failures if name not in left]
        lines = [
            f"{len(names)} step(s) of plan {plan!r} {what}: {', '.join(names)}"
            for names, what in ((failed, "failed"), (left, "will not start"))
            if names
        ]
        if self.blocked:
            lines.append(f"never ran because of that: {', '.join(self.blocked)}")
        for step, trace in failures.items():
            lines += [f"--- {step} ---", trace.rstrip()]
        super().__init__("\n".join(lines))


def text_of(error: BaseException) -> str:
    """The text of any exception, also of one whose ``__str__`` fails."""
    try:
        return str(error)
    except BaseException as problem:
        return f"<its text cannot be shown: {type(problem).__name__}>"


def suggest(word: object, choices: Iterable[object]) -> str:
    """The hint of an error: the choice that is spelled like `word`, if any, and all choices."""
    names = sorted(map(str, choices))
    return f"{did_you_mean(word, names)}known: {', '.join(names) or 'none'}"


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """``did you mean train? `` with the closest choice; empty if none is close."""
    near = difflib.get_close_matches(str(word), list(map(str, choices)), n=1)
    return f"did you mean {near[0]}? " if near else ""
