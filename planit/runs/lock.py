"""One writer per run: whoever submits, resumes or cancels holds the run's lock.

The lock is a file that names its owner, made with O_EXCL, which also holds on NFS (file locks and
SQLite's do not everywhere). A lock is taken over when its owner is dead: on the same host its
process is gone, on another host its sign of life is too old.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from planit.errors import RunError
from planit.runs.files import read_json

SIGN_OF_LIFE_S = 15.0
DEAD_AFTER_S = 120.0


class RunLock:
    """A context manager that holds the lock of a run directory.

    Raises:
        RunError: somebody alive holds it; the error names them.
    """

    def __init__(self, run_path: Path) -> None:
        self._path = run_path / "lock"
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for _ in range(3):
            if self._make():
                break
            owner = read_json(self._path)
            if self._is_alive(owner):
                raise RunError(
                    f"run {self._path.parent.name} is being worked on by {_shown(owner)}",
                    hint="wait until it is done",
                )
            self._clear()
        else:
            raise RunError(f"run {self._path.parent.name} could not be locked")
        self._thread = threading.Thread(target=self._live, daemon=True, name="planit-lock")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _make(self) -> bool:
        try:
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(f"cannot lock {self._path.parent}: {error.strerror}") from None
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "start": _start_of(os.getpid())}
        with os.fdopen(handle, "w") as file:
            json.dump(owner, file)
        return True

    def _is_alive(self, owner: Any) -> bool:
        try:
            age = time.time() - self._path.stat().st_mtime
        except OSError:  # its owner has just let go
            return False
        if not isinstance(owner, dict):
            return age < SIGN_OF_LIFE_S  # being written at this moment, or torn
        if owner.get("host") == socket.gethostname():
            start = _start_of(int(owner.get("pid", 0)))
            return start is not None and start == owner.get("start")
        return age < DEAD_AFTER_S

    def _clear(self) -> None:
        """Remove a dead owner's lock; of two who try, one rename succeeds."""
        grave = self._path.with_name(f"lock.dead.{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.rename(grave)
            grave.unlink()

    def _live(self) -> None:
        while not self._stop.wait(SIGN_OF_LIFE_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def _start_of(pid: int) -> str | None:
    """When a process of this host started, in clock ticks since boot; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[19]


def _shown(owner: Any) -> str:
    if not isinstance(owner, dict):
        return "another process"
    return f"process {owner.get('pid')} on {owner.get('host')}"
