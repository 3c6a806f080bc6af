"""``python -m planit.job.worker [VERB]`` in a job's script, told where by PLANIT_* variables.

::

    run         check, run the step in a child process, wait for it, write its end marker
    open        check only: the script goes on with lines of the user's
    step        run the step in this process (each rank under srun)
    close CODE  write the end marker of a step that ended with CODE

Slurm releases the steps behind by the script's exit code and by nothing else, so a code of 0
means that the end marker says "succeeded".
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

from planit.errors import RunError
from planit.job import ending, gate
from planit.job.dependents import cancel_dependents, release_dependents
from planit.job.out_of_memory import was_out_of_memory
from planit.job.put_back import OUT_OF_TIME, check_nodes, end_or_retry
from planit.job.retries import policy_of
from planit.job.step import OpenedStep, run_step
from planit.nodes.retry import Cause
from planit.record import trust
from planit.record.files import close_log, is_shared
from planit.record.markers import Outcome
from planit.record.task_files import TaskFiles, restart_count
from planit.record.umask import closed_umask

EXIT_UNTRUSTED = 126
EXIT_NOT_OF_RECORD = 125
EXIT_BLOCKED = 1
EXIT_NO_RECORD = 1
_GRACE_S = 30  # for a step that is ended before its time limit, to be tried again
# What a batch script may be sent (sbatch manual, "--signal"), which is meant for the step.
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: Sequence[str] = ()) -> int:
    """Do what the verb says; the process's exit code."""
    os.umask(closed_umask())
    verb, *rest = arguments or ("run",)
    try:
        run = trust.opened(Path(os.environ["PLANIT_RUN_DIR"]))
        close_log(shared=is_shared(run.fd))
        task = TaskFiles.from_environment(run.path)
        if verb != "close":  # which loads nothing
            opened = OpenedStep(run)
        if verb in ("run", "open"):
            if (code := _check(task)) != 0:
                return code
            _ = opened.folder  # made now: what comes next may be the user's setup lines
    except RunError as refusal:
        print(f"planit: refusing to run this step: {refusal}", file=sys.stderr, flush=True)
        return EXIT_UNTRUSTED
    try:
        if verb == "close":
            out_of_time = os.environ.get(OUT_OF_TIME) == "1"
            return _end(task, int(rest[0]), of_children=False, out_of_time=out_of_time)
        if verb == "step":
            return run_step(opened)
        return 0 if verb == "open" else _run_and_wait(opened, task)
    except RunError as problem:  # a step without an end marker has not succeeded
        print(f"planit: {problem}", file=sys.stderr, flush=True)
        return EXIT_NO_RECORD


def _check(task: TaskFiles) -> int:
    """0 if the step may run, else the exit code of the job."""
    try:
        gate.check(gate.Place.from_environment())
    except gate.NotOfRecordError as problem:
        print(f"planit: not running: {problem}", file=sys.stderr, flush=True)
        return EXIT_NOT_OF_RECORD
    except gate.BlockedError as problem:
        print(f"planit: blocked: {problem}", file=sys.stderr, flush=True)
        ending.write_blocked(task, restart_count(), str(problem))
        _cancel_dependents()
        return EXIT_BLOCKED
    policy = policy_of(os.environ)
    if policy is None or (code := check_nodes(task, policy)) == 0:
        return 0
    if code != ending.EXIT_REQUEUED:
        _cancel_dependents()
    return code


def _run_and_wait(opened: OpenedStep, task: TaskFiles) -> int:
    """Run the step in a child, so that somebody is there when its process has ended."""
    child = os.fork()
    if child == 0:
        return run_step(opened)
    policy = policy_of(os.environ)
    warned = False

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    def warn(_number: int, _frame: FrameType | None) -> None:
        nonlocal warned
        warned = True
        signal.signal(signal.SIGALRM, lambda *_: forward(signal.SIGKILL, None))
        signal.alarm(_GRACE_S)
        forward(signal.SIGTERM, None)

    for number in _FORWARDED:
        signal.signal(number, forward)
    if policy is not None and Cause.TIMEOUT in policy.rules:
        signal.signal(signal.SIGUSR1, warn)
    _, status = os.waitpid(child, 0)
    signal.alarm(0)
    code = os.waitstatus_to_exitcode(status)
    return _end(task, code if code >= 0 else 128 - code, of_children=True, out_of_time=warned)


def _end(task: TaskFiles, code: int, *, of_children: bool, out_of_time: bool) -> int:
    """Write the end marker of the step; the exit code of the job.

    What was terminated or killed may have been requeued: then what waits for it goes on waiting.
    """
    policy = policy_of(os.environ)
    if policy is None:
        outcome, code = ending.end_step(task, restart_count(), code)
    else:
        out_of_memory = was_out_of_memory(task, code, of_children=of_children)
        outcome, code = end_or_retry(
            task, policy, code, out_of_memory=out_of_memory, out_of_time=out_of_time
        )
    task.clean_up(Path(os.environ["PLANIT_STEP_DIR"]), succeeded=outcome is Outcome.SUCCEEDED)
    if outcome is Outcome.FAILED:
        _cancel_dependents()
    elif outcome is Outcome.SUCCEEDED:
        with suppress(OSError, ValueError):
            release_dependents(gate.Place.from_environment())
    return code


def _cancel_dependents() -> None:
    if os.environ.get("PLANIT_CANCELS") == "1":
        with suppress(OSError, ValueError):
            cancel_dependents(gate.Place.from_environment())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
