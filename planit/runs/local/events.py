"""What the engine says of its steps, in a file that any process can read.

``local/<n>.jsonl`` in the run directory: a first line about the engine, then a line per change.
States are named as Slurm names them, so that everything that reads squeue's words reads these.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.runs.lock import start_of

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})


class EventWriter:
    """Appends events, each in one write."""

    def __init__(self, path: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
        self.descriptor = os.open(path, flags, 0o644)
        pid = os.getpid()
        self._write({"pid": pid, "start": start_of(pid), "host": socket.gethostname()})

    def write(self, key: str, state: str, **more: Any) -> None:
        self._write({"key": key, "state": state, "at": round(time.time(), 3), **more})

    def _write(self, event: dict[str, Any]) -> None:
        os.write(self.descriptor, (json.dumps(event) + "\n").encode())


@dataclass(frozen=True)
class Engine:
    """The process that runs a submission, and what it said of each step last."""

    pid: int
    host: str
    start: str | None
    states: dict[str, dict[str, Any]]

    @property
    def is_alive(self) -> bool:
        """Whether it still runs; on another host nobody can tell, and it counts as alive."""
        if self.host != socket.gethostname():
            return True
        return self.start is not None and start_of(self.pid) == self.start


def read(path: Path) -> Engine | None:
    """What a file of events says; None if there is none (yet)."""
    head: dict[str, Any] | None = None
    states: dict[str, dict[str, Any]] = {}
    for event in _events(path):
        if head is None and "pid" in event:
            head = event
        elif "key" in event:
            states[event["key"]] = {**states.get(event["key"], {}), **event}
    if head is None:
        return None
    return Engine(int(head["pid"]), str(head["host"]), head.get("start"), states)


def _events(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            yield event
