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
from planit.job.step import refuse_untrusted, run_step
from planit.record import trust
from planit.record.files import close_log, is_shared
from planit.record.markers import Attempt, Outcome
from planit.record.trust import TrustedDir
from planit.record.umask import closed_umask

EXIT_UNTRUSTED = 126
EXIT_NOT_OF_RECORD = 125
EXIT_BLOCKED = 1
# What a batch script may be sent (sbatch manual, "--signal"), which is meant for the step.
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: Sequence[str] = ()) -> int:
    """Do what the verb says; the process's exit code."""
    os.umask(closed_umask())
    run_dir, step_dir = os.environ["PLANIT_RUN_DIR"], os.environ["PLANIT_STEP_DIR"]
    verb, *rest = arguments or ("run",)
    try:
        run = trust.opened(Path(run_dir))
        close_log(shared=is_shared(run.fd))
        step = run.subdir(os.path.relpath(step_dir, run_dir))
        if verb != "close":  # which loads nothing
            refuse_untrusted(run, step)
    except RunError as refusal:
        print(f"planit: refusing to run this step: {refusal}", file=sys.stderr, flush=True)
        return EXIT_UNTRUSTED
    if verb == "close":
        return _end(step.path, int(rest[0]))
    if verb == "step":
        return run_step(run, step)
    code = _check(step.path)
    return code if code or verb == "open" else _run_and_wait(run, step)


def _check(step_dir: Path) -> int:
    """0 if the step may run, else the exit code of the job."""
    try:
        gate.check(gate.Place.from_environment())
    except gate.NotOfRecordError as problem:
        print(f"planit: not running: {problem}", file=sys.stderr, flush=True)
        return EXIT_NOT_OF_RECORD
    except gate.BlockedError as problem:
        print(f"planit: blocked: {problem}", file=sys.stderr, flush=True)
        ending.write_blocked(step_dir, Attempt.from_environment(), str(problem))
        _cancel_dependents()
        return EXIT_BLOCKED
    return 0


def _run_and_wait(run: TrustedDir, step: TrustedDir) -> int:
    """Run the step in a child, so that somebody is there when its process has ended."""
    child = os.fork()
    if child == 0:
        return run_step(run, step)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return _end(step.path, code if code >= 0 else 128 - code)


def _end(step_dir: Path, code: int) -> int:
    """Write the end marker of the step; the exit code of the job.

    What was terminated or killed may have been requeued: then what waits for it goes on waiting.
    """
    outcome, code = ending.end_step(step_dir, Attempt.from_environment(), code)
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
