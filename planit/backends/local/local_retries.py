"""Retries on this machine: the engine starts the step again, with what its policy raises."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from planit.backends.local.machine import Machine
from planit.backends.local.processes import StepProcess
from planit.job.ending import EXIT_SIGKILL
from planit.job.out_of_memory import kernel_kills
from planit.job.retries import (
    Granted,
    NextAttempt,
    NotRequeuedError,
    cause_of_end,
    earlier,
    retried,
)
from planit.nodes.retry import Cause, RetryPolicy
from planit.record.markers import EndMarker
from planit.record.task_files import TaskFiles

_MB = 2**20


def or_retry(
    process: StepProcess, files: TaskFiles, code: int, machine: Machine
) -> Callable[[EndMarker], EndMarker] | None:
    """What `planit.job.ending.end_step` does with an end that is not a success.

    Args:
        process: the step's, which has ended by itself or by its time limit.
        files: the step's.
        code: its exit code; 137 if it was killed.
        machine: what it can have at most.
    """
    task = process.task
    if not task.stage.retry:
        return None
    policy = RetryPolicy.from_mapping(task.stage.retry)
    killed = code == EXIT_SIGKILL and not process.out_of_time

    def put_back(planned: NextAttempt) -> Granted:
        granted = _granted(process, planned, machine)
        _tell(
            files,
            [f"{planned.cause.words}: attempt {planned.number} of {planned.total} follows"],
        )
        _tell(files, granted.told)
        task.not_before = time.monotonic() + planned.rule.delay_s if planned.rule.delay_s else 0.0
        return granted

    def made(end: EndMarker) -> EndMarker:
        out_of_memory = killed and kernel_kills() > process.oom_kills
        cause = cause_of_end(
            end, policy, out_of_memory=out_of_memory, out_of_time=process.out_of_time
        )
        return retried(end, cause, policy, earlier(files, task.restarts), put_back)

    return made


def _granted(process: StepProcess, planned: NextAttempt, machine: Machine) -> Granted:
    """Raise what the step has. Raises NotRequeuedError if there is no more."""
    task, rule = process.task, planned.rule
    told: list[str] = []
    if planned.cause is Cause.OOM and rule.factor > 1 and task.request.memory:
        before, wanted = task.request.memory, rule.raised(task.request.memory)
        after = min(wanted, machine.memory)
        if after <= before:
            raise NotRequeuedError(f"this machine has no more memory than {before // _MB} MB")
        if after < wanted:
            told.append(f"memory: {after // _MB} MB of this machine, not {wanted // _MB} MB")
        task.raised = replace(task.request, memory=after)
    if planned.cause is Cause.TIMEOUT and rule.factor > 1:
        task.longer_s = task.wall_s * float(rule.factor)
    memory = task.request.memory // _MB or None
    return Granted(memory, int(-(-task.wall_s // 60)), tuple(told))


def _tell(files: TaskFiles, lines: list[str] | tuple[str, ...]) -> None:
    with suppress(OSError), files.log().open("a", encoding="utf-8") as log:
        log.writelines(f"planit: {line}\n" for line in lines)
