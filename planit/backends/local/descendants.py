"""The processes below this one: orphans come here, and what nobody waits for is ended.

A process that starts a session of its own, forks twice or empties its environment is still a
descendant: its orphans go to the nearest "child subreaper" above them (prctl manual,
"PR_SET_CHILD_SUBREAPER").
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Collection, Iterable
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork, which would pay for it
_QUICK_ROUNDS = 20
_PAUSE_S = 0.002
_KILL_TIMEOUT_S = 10.0


def adopt_orphans() -> None:
    """Become the parent of every orphan below this process; it stays so in what it executes."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have Linux send this process a signal when its parent dies (prctl, "PR_SET_PDEATHSIG")."""
    _libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)


class Leftovers:
    """Ends children of this process that it does not want to keep."""

    def __init__(self) -> None:
        self._first_killed: dict[int, float] = {}
        self._given_up: set[int] = set()

    def end(self, kept: Collection[int] = (), since: int | None = None) -> bool:
        """Kill them; whether none is left.

        A killed process takes a moment to end, and its own children come here only then: call it
        again until it is true. What cannot be killed (a program of another user, or one that hangs
        in the kernel) is given up after some time.

        Args:
            kept: children that are left alone.
            since: check only processes that are younger than this one, which must have started
                less than a second ago; otherwise all processes of the machine are checked.
        """
        for _ in range(_QUICK_ROUNDS):  # a process may fork faster than the scheduler is called
            if not kept and not _has_children():
                return True
            left = [pid for pid in _pids(since) if pid not in kept and _is_child(pid)]
            self._given_up &= set(left)
            left = [pid for pid in left if pid not in self._given_up]
            if not left:
                self._first_killed.clear()
                return True
            for pid in left:
                self._kill(pid)
        return False

    def _kill(self, pid: int) -> None:
        now = time.monotonic()
        if now > self._first_killed.setdefault(pid, now) + _KILL_TIMEOUT_S:
            self._given_up.add(pid)
        try:
            group = os.getpgid(pid)
            if group not in (0, os.getpgrp()):
                os.killpg(group, signal.SIGKILL)  # no member can fork its way out of this
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        except PermissionError:
            self._given_up.add(pid)


def children() -> list[int]:
    """The children of this process."""
    return [pid for pid in _pids(None) if _is_child(pid)]


def end_children() -> None:
    """Kill every child of this process, and every one that comes to it because of that."""
    leftovers = Leftovers()
    while not leftovers.end():
        time.sleep(_PAUSE_S)


def marked(variable: str) -> list[int]:
    """The processes that were started with ``NAME=value`` in their environment, but this one.

    For what has lost all the processes above it. A fork has the environment that its program was
    started with, whatever was changed since.
    """
    wanted, found = variable.encode(), []
    for pid in _pids(None):
        with contextlib.suppress(OSError):
            if pid != os.getpid() and wanted in _environment(pid):
                found.append(pid)
    return found


def end_marked(variable: str) -> list[int]:
    """Kill those processes; returns the ones that do not end."""
    end = time.monotonic() + _KILL_TIMEOUT_S
    while (left := marked(variable)) and time.monotonic() < end:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)
    return left


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def _pids(since: int | None) -> Iterable[int]:
    """All processes; or the numbers after `since` that Linux has given out, which it does in turn.

    The last of these is the last field of /proc/loadavg (proc manual).
    """
    if since is not None:
        last = int(Path("/proc/loadavg").read_bytes().split()[-1])
        if since <= last:
            return range(since + 1, last + 1)
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _is_child(pid: int) -> bool:
    """Whether a process is a child of this one and goes on; one that has ended is reaped."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == 0
    except ChildProcessError:
        return False


def _has_children() -> bool:
    """Whether there is any child; one that has ended is reaped."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True
