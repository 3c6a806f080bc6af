"""What the engine says of its steps, in a file that any process can read.

``local/<n>.jsonl`` in the run directory: a first line about the engine, then a line per change.
States are named as Slurm names them, so that everything that reads squeue's words reads these.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.record.files import open_file
from planit.record.lock import DEAD_AFTER_S, start_of

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})
ENGINE_MARK = "PLANIT_ENGINE"  # the variable by which the processes of a submission are known

_NEW = os.O_WRONLY | os.O_EXCL | os.O_APPEND


class EventWriter:
    """Appends events, each in one write.

    Raises:
        FileExistsError: another engine was there, or `forbid`.
    """

    def __init__(self, path: Path) -> None:
        self.descriptor = open_file(path, _NEW)
        pid = os.getpid()
        self._write({"pid": pid, "start": start_of(pid), "host": socket.gethostname()})

    def write(self, key: str, state: str, **more: Any) -> None:
        self._write({"key": key, "state": state, "at": round(time.time(), 3), **more})

    def sign_of_life(self) -> None:
        """Show other hosts that the engine is there."""
        os.utime(self.descriptor)

    def _write(self, event: dict[str, Any]) -> None:
        os.write(self.descriptor, (json.dumps(event) + "\n").encode())


@dataclass(frozen=True)
class Engine:
    """The process that runs a submission, and what it said of each step last."""

    pid: int
    host: str
    start: str | None
    states: dict[str, dict[str, Any]]
    touched: float

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; on another host its last sign of life must be recent."""
        if self.host != socket.gethostname():
            return time.time() - self.touched < DEAD_AFTER_S
        return self.start is not None and start_of(self.pid) == self.start


class Follower:
    """Reads a file of events as it grows, each line once.

    Attributes:
        states: by key, what the engine said of each step last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._touched = 0.0
        self._head: dict[str, Any] | None = None
        self.states: dict[str, dict[str, Any]] = {}

    def look(self) -> list[dict[str, Any]]:
        """The changes since the last look, in order."""
        changes = []
        for event in self._new():
            key = event.get("key")
            if key is not None:
                self.states[key] = {**self.states.get(key, {}), **event}
                changes.append(event)
            elif self._head is None and "pid" in event:
                self._head = event
        return changes

    @property
    def engine(self) -> Engine | None:
        """The engine as of the last look; None if it had not said anything."""
        head = self._head
        if head is None:
            return None
        pid, host, start = int(head["pid"]), str(head["host"]), head.get("start")
        return Engine(pid, host, start, self.states, self._touched)

    def _new(self) -> Iterator[dict[str, Any]]:
        try:
            with self._path.open("rb") as file:
                self._touched = os.fstat(file.fileno()).st_mtime
                file.seek(self._offset)
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return
        for line in lines:
            if not line.endswith(b"\n"):  # being written
                return
            self._offset += len(line)
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    yield event


def mark_of(run_path: Path, number: int) -> str:
    """What the processes of a submission have in `ENGINE_MARK`."""
    return f"{run_path}:{number}"


def path_of(run_path: Path, number: int) -> Path:
    """Where the engine of a submission writes."""
    return run_path / "local" / f"{number}.jsonl"


def read(path: Path) -> Engine | None:
    """What a file of events says; None if there is no engine (yet).

    Of an engine that has ended it is all that it ever said: who finds it dead looks once more.
    """
    follower = Follower(path)
    follower.look()
    if follower.engine is not None and not follower.engine.is_alive:
        follower.look()
    return follower.engine


def forbid(path: Path) -> bool:
    """Keep an engine that has not said anything yet from ever starting; False if it has."""
    try:
        os.close(open_file(path, _NEW))
    except FileExistsError:
        return read(path) is None
    return True
