"""Looking at processes through /proc, and ending a whole tree of them. Linux only.

This file is also used by the supervisor, which runs as a plain script: it imports nothing of the
package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PARENT, _START = 1, 19  # fields of /proc/PID/stat, counted from the state that follows "(name)"


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name; None for one that ended, zombies included."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def started_at(pid: int) -> int | None:
    """When a running process started, in clock ticks since boot; None when it does not run.

    A pid together with this number names one process for ever: pids are given out again.
    """
    fields = _stat(pid)
    return int(fields[_START]) if fields else None


def descendants(root: int) -> set[int]:
    """Every running process below `root`, `root` itself left out."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    found: set[int] = set()
    todo = [root]
    while todo:
        below = children.get(todo.pop(), [])
        found.update(below)
        todo.extend(below)
    return found


def kill(pid: int, sign: int = signal.SIGKILL) -> None:
    """Send a signal to one process; one that has just ended is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)


def kill_recorded(recorded: dict[int, int], seconds: float = 10.0) -> list[int]:
    """SIGKILL the processes of a {pid: start time} record, wait, and return the ones left over."""
    alive = [pid for pid, start in recorded.items() if started_at(pid) == start]
    victims = {*alive, *(pid for parent in alive for pid in descendants(parent))}
    starts = {pid: started_at(pid) for pid in victims}
    for pid in victims:
        kill(pid)
    until = time.monotonic() + seconds
    left = list(victims)
    while left and time.monotonic() < until:
        left = [pid for pid in left if starts[pid] is not None and started_at(pid) == starts[pid]]
        time.sleep(0.02)
    return left
