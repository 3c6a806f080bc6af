"""The processes above the engine: when it has ended, in whatever way, nothing below it goes on.

Steps may start sessions of their own, fork twice or empty their environment: what they leave comes
to the engine, and what a killed engine leaves comes to its guardian. There are two guardians, so
that any two of the three can be killed at once; for all three see `planit.backends.local.client`.
They are forked before anything large is imported.
"""

from __future__ import annotations

import contextlib
import os
import signal

from planit.backends.local.descendants import adopt_orphans, die_with_parent, end_children

_GUARDIANS = 2
PACKED = "packed"  # instead of the engine's arguments: what a packed Slurm job runs
_ENDING = (signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Run the engine below this process; its exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    is_packed = arguments[0] == PACKED
    if is_packed:
        die_with_parent(signal.SIGTERM)  # the job's script
    guardians = []
    for _ in range(_GUARDIANS):
        guardians.append(os.getpid())
        below = _fork()
        if below:
            return _guard(below)
    adopt_orphans()
    if is_packed:
        from planit.backends.local import packed_job

        return packed_job.main(arguments, guardians)
    from planit.backends.local import engine

    return engine.main(arguments, guardians)


def _fork() -> int:
    """Fork a process that gets SIGTERM when this one is killed; 0 in it, its pid here."""
    adopt_orphans()
    above = os.getpid()
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    below = os.fork()
    if not below:
        die_with_parent(signal.SIGTERM)
        if os.getppid() != above:
            os._exit(1)  # it was killed a moment too early
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    return below


def _guard(below: int) -> int:
    """Wait until the process below has ended, and end all that it left; its exit code."""

    def pass_on(_signal: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(below, signal.SIGTERM)

    for number in _ENDING:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    os.waitid(os.P_PID, below, os.WEXITED | os.WNOWAIT)
    for number in _ENDING:  # its number is about to be free for another process
        signal.signal(number, signal.SIG_IGN)
    code = os.waitstatus_to_exitcode(os.waitpid(below, 0)[1])
    end_children()
    return code if code >= 0 else 128 - code
