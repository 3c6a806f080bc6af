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
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from planit.errors import RunError
from planit.record import fields
from planit.record.files import open_file, told_of

NAME = "lock"  # of the file in a run directory
SIGN_OF_LIFE_S = 15.0
DEAD_AFTER_S = 120.0


class RunLock:
    """A context manager that holds the lock of a run directory.

    Raises:
        RunError: somebody alive holds it; the error names them.
    """

    def __init__(self, run_path: Path) -> None:
        self._path = run_path / NAME
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        for _ in range(3):
            if self._make():
                break
            found = _read(self._path)
            if found is not None and found.is_alive:
                raise RunError(
                    f"run {self._path.parent.name} is being worked on by {found.name}",
                    hint="wait until it is done",
                )
            if found is not None:
                self._clear(found)
        else:
            raise RunError(
                f"run {self._path.parent.name} could not be locked",
                hint=f"if nobody works on it, remove {self._path}",
            )
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
            handle = open_file(self._path, os.O_WRONLY | os.O_EXCL)
        except FileExistsError:
            return False
        except OSError as error:
            raise RunError(f"cannot lock {self._path.parent}: {error.strerror}") from None
        owner = {"host": socket.gethostname(), "pid": os.getpid(), "start": start_of(os.getpid())}
        try:
            with told_of(self._path), os.fdopen(handle, "w") as file:
                json.dump(owner, file)
        except BaseException:
            self._path.unlink(missing_ok=True)
            raise
        return True

    def _clear(self, dead: _Found) -> None:
        """Remove a dead owner's lock: of all who try, one can name it dead, and only that one may.

        A plain rename could hit the fresh lock of somebody who was quicker.
        """
        old = self._path.with_name(f"{NAME}.dead.{dead.identity}")
        with contextlib.suppress(OSError):
            os.link(self._path, old)
            self._path.unlink()

    def _live(self) -> None:
        while not self._stop.wait(SIGN_OF_LIFE_S):
            with contextlib.suppress(OSError):
                os.utime(self._path)


def start_of(pid: int | None) -> str | None:
    """When a process of this host started, in clock ticks since boot; None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]  # a zombie has ended


@dataclass(frozen=True)
class _Found:
    """A lock that somebody holds, or held: who, when it last lived, and which file it is."""

    owner: Any
    touched: float
    identity: str

    @property
    def is_alive(self) -> bool:
        age = time.time() - self.touched
        if not isinstance(self.owner, dict):
            return age < SIGN_OF_LIFE_S  # being written at this moment, or torn
        if self.owner.get("host") == socket.gethostname():
            start = start_of(fields.whole(self.owner, "pid"))
            return start is not None and start == self.owner.get("start")
        return age < DEAD_AFTER_S

    @property
    def name(self) -> str:
        if not isinstance(self.owner, dict):
            return "another process"
        return f"process {self.owner.get('pid')} on {self.owner.get('host')}"


def _read(path: Path) -> _Found | None:
    """The lock in a file, or None if there is none (any more)."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            info = os.fstat(file.fileno())
            text = file.read()
    except OSError:
        return None
    try:
        owner = fields.parse(text)
    except ValueError:
        owner = None
    return _Found(owner, info.st_mtime, f"{info.st_ino}.{info.st_mtime_ns}")


def owner_of(run_path: Path) -> str | None:
    """Who works on a run at this moment, or None."""
    found = _read(run_path / NAME)
    return found.name if found is not None and found.is_alive else None
