"""The end of an attempt in a Slurm job whose step has a retry policy."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from planit.job import requeue
from planit.job.ending import EXIT_REQUEUED, end_step, identity, job_id
from planit.job.retries import (
    Granted,
    NextAttempt,
    NotRequeuedError,
    cause_of_end,
    earlier,
    retried,
)
from planit.nodes.retry import Cause, RetryPolicy
from planit.record.markers import NODE_FAIL, EndMarker, Outcome, Retry, StepError
from planit.record.task_files import TaskFiles, restart_count

OUT_OF_TIME = "PLANIT_OUT_OF_TIME"
"""The variable by which a script says that it has ended the step before its time limit."""


def end_or_retry(
    task: TaskFiles, policy: RetryPolicy, code: int, *, out_of_memory: bool, out_of_time: bool
) -> tuple[Outcome, int]:
    """`end_step`, or put the job back first; its dependents then go on waiting."""
    restart = restart_count()
    held = False

    def put_back(planned: NextAttempt) -> Granted:
        nonlocal held
        granted = requeue.hold_for(job_id(), planned)
        held = True
        _print(f"{planned.cause.words}: attempt {planned.number} of {planned.total} follows")
        for line in granted.told:
            _print(line)
        return granted

    def or_retry(end: EndMarker) -> EndMarker:
        cause = cause_of_end(end, policy, out_of_memory=out_of_memory, out_of_time=out_of_time)
        return retried(end, cause, policy, earlier(task, restart), put_back)

    try:
        return end_step(task, restart, code, or_retry=or_retry)
    finally:
        if held:  # whatever could be written: a held job would wait for ever
            requeue.release(job_id())


def check_nodes(
    task: TaskFiles, policy: RetryPolicy, environ: Mapping[str, str] = os.environ
) -> int:
    """0 if the step may start, else the exit code of the job.

    Slurm itself requeues a job whose node failed, without a limit: so the next attempt counts,
    and the record of the attempt before it is completed here.
    """
    restart, rule = restart_count(), policy.rules.get(Cause.NODE_FAIL)
    if rule is None or restart == 0:
        return 0
    before = earlier(task, restart)
    try:
        failed = requeue.failed_nodes(job_id())
    except NotRequeuedError as why:
        _print(f"node failures are not counted: {why}")
        return 0
    if len(failed) <= sum(one.cause == Cause.NODE_FAIL for one in before):
        return 0
    left = rule.times - len(failed)
    number = len(before) + 2
    error = StepError(NODE_FAIL, f"{failed[-1]} failed")
    if left < 0:
        words = f"attempt {number - 1} of {number - 1}"
        end = EndMarker(Outcome.FAILED, 1, identity(), ended=time.time(), error=error)
        task.write_end(restart, replace(end, cause=str(Cause.NODE_FAIL), no_retry=words))
        _print(f"{failed[-1]} failed ({words})")
        return 1
    for last in range(restart - 1, -1, -1):
        if (found := _cut_off(task, last)) is not None:
            retry = Retry(str(Cause.NODE_FAIL), number, number + left)
            end = replace(found, outcome=Outcome.REQUEUED, exit_code=EXIT_REQUEUED, retry=retry)
            task.write_end(last, replace(end, error=error, cause=str(Cause.NODE_FAIL)))
            break
    return _leave_nodes(failed, environ) if rule.exclude else 0


def _leave_nodes(failed: list[str], environ: Mapping[str, str]) -> int:
    bad = requeue.names_in(",".join(failed))
    here = requeue.names_in(environ.get("SLURM_JOB_NODELIST", ""))
    if bad.isdisjoint(here):
        return 0
    count = int(environ.get("SLURM_JOB_NUM_NODES", "1"))
    if not requeue.has_others(bad, environ.get("SLURM_JOB_PARTITION", ""), count):
        _print(f"it runs on {', '.join(sorted(bad & here))} again: there are no other nodes")
        return 0
    try:
        requeue.hold_without(job_id(), bad)
    except NotRequeuedError as why:
        _print(f"it runs on {', '.join(sorted(bad & here))} again: {why}")
        return 0
    _print(f"it does not run on {', '.join(sorted(bad & here))} again")
    requeue.release(job_id())
    return EXIT_REQUEUED


def _cut_off(task: TaskFiles, restart: int) -> EndMarker | None:
    """The marker of an attempt that did not end by itself; None if it did, or never began."""
    end, start = task.end(restart), task.start(restart)
    if end is None and start is not None:
        return EndMarker(Outcome.KILLED, job=start.job, started=start.started)
    by_signal = end is not None and end.outcome in (Outcome.TERMINATED, Outcome.KILLED)
    return end if by_signal else None


def _print(text: str) -> None:
    with suppress(OSError):
        os.write(2, f"planit: {text}\n".encode())
