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
from planit.job.step import refuse_untrusted, run_step
from planit.record import trust
from planit.record.files import close_log, is_shared
from planit.record.markers import Attempt
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
        return ending.end_step(step.path, Attempt.from_environment(), int(rest[0]))[1]
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
    code = code if code >= 0 else 128 - code
    return ending.end_step(step.path, Attempt.from_environment(), code)[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
