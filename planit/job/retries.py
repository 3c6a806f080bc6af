"""Is a step that failed tried again? By its policy, and what its earlier attempts left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from planit.errors import PlanError
from planit.job.ending import EXIT_REQUEUED, EXIT_SIGKILL
from planit.nodes.retry import Cause, RetryPolicy, Rule, kinds_of
from planit.record.markers import EndMarker, Outcome, Retry
from planit.record.task_files import TaskFiles

POLICY = "PLANIT_RETRY"
"""The variable that holds a step's policy, as JSON."""

_CUDA_OOM = ("CUDA out of memory", "CUDA error: out of memory", "CUDA_ERROR_OUT_OF_MEMORY")


class NotRequeuedError(Exception):
    """A job could not be put back into the queue, or nothing could be raised; says why."""


class JobEndingError(NotRequeuedError):
    """Slurm is ending the job already: it was cancelled, preempted, or requeued by somebody."""


@dataclass(frozen=True)
class NextAttempt:
    """An attempt that a policy allows; `number` and `total` as in "attempt 2 of 3"."""

    cause: Cause
    rule: Rule
    number: int
    total: int


@dataclass(frozen=True)
class Granted:
    """What the next attempt has, and what could not be raised as it should be, a line each."""

    memory_mb: int | None = None
    minutes: int | None = None
    told: tuple[str, ...] = ()


def policy_of(environ: Mapping[str, str]) -> RetryPolicy | None:
    """The policy of this job's step; None if it has none."""
    if not environ.get(POLICY):
        return None
    try:
        return RetryPolicy.from_mapping(json.loads(environ[POLICY]))
    except (ValueError, PlanError):  # not what planit has written
        return None


def cause_of_error(error: BaseException, policy: RetryPolicy | None) -> Cause | None:
    """Why a step's function failed; None if it has no policy, or one that means other errors."""
    if policy is None:
        return None
    text, kinds = str(error), kinds_of(error)
    if "torch.OutOfMemoryError" in kinds or "torch.cuda.OutOfMemoryError" in kinds:
        return Cause.CUDA_OOM
    if any(words in text for words in _CUDA_OOM):
        return Cause.CUDA_OOM
    if isinstance(error, MemoryError):
        return Cause.OOM
    return Cause.ERROR if policy.is_meant(Cause.ERROR, kinds) else None


def cause_of_end(
    end: EndMarker, policy: RetryPolicy, *, out_of_memory: bool, out_of_time: bool
) -> Cause | None:
    """Why an attempt ended without success; None if it is not for planit to try it again."""
    if out_of_time:
        return Cause.TIMEOUT
    reported = end.started is not None  # by the step's process, which has judged its own error
    killed = not reported or end.exit_code == EXIT_SIGKILL  # or a child of the step's own was
    if out_of_memory and killed and end.outcome in (Outcome.KILLED, Outcome.FAILED):
        return Cause.OOM
    if end.cause is not None:
        return Cause(end.cause) if end.cause in list(Cause) else None
    if end.outcome is Outcome.FAILED and not reported and policy.is_meant(Cause.ERROR):
        return Cause.ERROR
    return None


def earlier(files: TaskFiles, restart: int) -> list[Retry]:
    """The retries of a task before an attempt."""
    ends = (files.end(number) for number in range(restart))
    return [end.retry for end in ends if end is not None and end.retry is not None]


def retried(
    end: EndMarker,
    cause: Cause | None,
    policy: RetryPolicy,
    before: list[Retry],
    put_back: Callable[[NextAttempt], Granted],
) -> EndMarker:
    """The marker of an attempt that failed: of one that is tried again, or why it is not.

    Args:
        end: how it ended.
        cause: why.
        policy: of its step.
        before: the retries so far.
        put_back: lets it be started again; raises NotRequeuedError.
    """
    rule = None if cause is None else policy.rules.get(cause)
    if cause is None or rule is None:
        return end
    end = replace(end, cause=str(cause))
    left = rule.times - sum(one.cause == cause for one in before)
    number = len(before) + 1
    if left <= 0:
        return _failed(end, f"attempt {number} of {number}")
    planned = NextAttempt(cause, rule, number + 1, number + left)
    try:
        granted = put_back(planned)
    except JobEndingError:
        return end
    except NotRequeuedError as why:
        return _failed(end, f"not tried again: {why}")
    retry = Retry(
        str(cause),
        planned.number,
        planned.total,
        granted.memory_mb,
        granted.minutes,
        granted.told,
    )
    return replace(end, outcome=Outcome.REQUEUED, exit_code=EXIT_REQUEUED, retry=retry)


def _failed(end: EndMarker, words: str) -> EndMarker:
    """How a step failed for good; what waits for it is cancelled."""
    return replace(end, outcome=Outcome.FAILED, no_retry=words)
