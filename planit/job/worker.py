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

from planit.job import ending, gate
from planit.job.step import context_of, run_step
from planit.record.files import why_untrusted
from planit.record.markers import Attempt
from planit.record.umask import closed_umask

EXIT_UNTRUSTED = 126
EXIT_NOT_OF_RECORD = 125
EXIT_BLOCKED = 1
# What a batch script may be sent (sbatch manual, "--signal"), which is meant for the step.
_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


def main(arguments: Sequence[str] = ()) -> int:
    """Do what the verb says; the process's exit code."""
    os.umask(closed_umask())
    run_dir, step_dir = Path(os.environ["PLANIT_RUN_DIR"]), Path(os.environ["PLANIT_STEP_DIR"])
    verb, *rest = arguments or ("run",)
    reason = why_untrusted(_must_be_trusted(run_dir, step_dir))
    if reason is not None:
        print(f"planit: refusing to run this step: {reason}", file=sys.stderr, flush=True)
        return EXIT_UNTRUSTED
    if verb == "close":
        return ending.end_step(step_dir, Attempt.from_environment(), int(rest[0]))[1]
    if verb == "step":
        return run_step(run_dir, step_dir)
    code = _check(step_dir)
    return code if code or verb == "open" else _run_and_wait(run_dir, step_dir)


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


def _run_and_wait(run_dir: Path, step_dir: Path) -> int:
    """Run the step in a child, so that somebody is there when its process has ended."""
    child = os.fork()
    if child == 0:
        return run_step(run_dir, step_dir)

    def forward(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in _FORWARDED:
        signal.signal(number, forward)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return ending.end_step(step_dir, Attempt.from_environment(), code if code >= 0 else 128 - code)[
        1
    ]


def _must_be_trusted(run_dir: Path, step_dir: Path) -> list[Path]:
    """Whatever could make the worker load code: payloads, context, snapshot, and their folders."""
    paths = [run_dir, run_dir / "submissions", context_of(run_dir), run_dir / "steps", step_dir]
    paths += [step_dir / "payload.pkl"]
    return paths + [p for p in (step_dir / "checkpoint.pkl", run_dir / "code") if p.exists()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
