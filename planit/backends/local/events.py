"""The events of an engine's steps, in a file that any process can read.

The first line is about the engine; then there is a line per change. States are named as Slurm
names them, so that everything that reads squeue's states reads these.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from planit.backends.local.descendants import marked
from planit.record import fields
from planit.record.files import open_file, told_of, write_all
from planit.record.lock import DEAD_AFTER_S, start_of

FINAL = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT"})
MARK = "PLANIT_ENGINE"  # by this variable they are found when all above them were killed

_MAX_TASKS = 10**7  # of an array; Slurm's own limit is 4 million
_NEW = os.O_WRONLY | os.O_EXCL | os.O_APPEND


def _line(event: Mapping[str, Any]) -> bytes:
    return (json.dumps(event) + "\n").encode()


class Events(Protocol):
    """Takes the changes of an engine's steps.

    Attributes:
        descriptor: the file's, which steps must not keep open; or -1.
    """

    descriptor: int

    def write(self, key: str, state: str, **more: Any) -> None:
        """A step is in another state."""

    def sign_of_life(self) -> None:
        """The engine goes on."""


class EventWriter:
    """Appends events, each in one write.

    Args:
        path: the file.
        guardians: the processes that end what this one leaves.
        stages: each stage's number, and of an array the number of its tasks.

    Raises:
        FileExistsError: another engine was there, or `forbid`.
        StorageError: the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        guardians: Sequence[int] = (),
        stages: Sequence[tuple[int, int | None]] = (),
    ) -> None:
        self.descriptor = open_file(path, _NEW)
        self._left = b""
        pid = os.getpid()
        about = {
            "pid": pid,
            "start": start_of(pid),
            "host": socket.gethostname(),
            "mark": f"{MARK}={os.environ.get(MARK, pid)}",
            "guardians": {str(one): start_of(one) for one in guardians},
            "stages": stages,
        }
        with told_of(path):
            write_all(self.descriptor, _line(about))

    def write(self, key: str, state: str, **more: Any) -> None:
        self._write({"key": key, "state": state, "at": round(time.time(), 3), **more})

    def sign_of_life(self) -> None:
        """Show other hosts that the engine is there."""
        os.utime(self.descriptor)
        self._write_left()

    def _write(self, event: dict[str, Any]) -> None:
        self._left += _line(event)
        self._write_left()

    def _write_left(self) -> None:
        """Write what is left to write; where there is no space, it stays for the next time."""
        with contextlib.suppress(OSError):
            while self._left:
                self._left = self._left[os.write(self.descriptor, self._left) :]


@dataclass(frozen=True)
class EngineStatus:
    """The process that runs a submission, and the last event of each step.

    Attributes:
        mark: a variable, with its value, that all its processes were started with.
        starts: when it and each of its guardians started, by pid.
        stages: by job id of each stage: the ids of its steps.
        states: by id of a step.
        touched: time of its last sign of life.
    """

    pid: int
    host: str
    mark: str
    starts: Mapping[int, str | None]
    stages: Mapping[str, Sequence[str]]
    states: Mapping[str, dict[str, Any]]
    touched: float

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this host."""
        return self.host == socket.gethostname()

    @property
    def is_running(self) -> bool:
        """Whether it runs, or a guardian that ends what it has left.

        On another host its last sign of life must be recent.
        """
        if not self.is_here:
            return time.time() - self.touched < DEAD_AFTER_S
        return any(start and start_of(pid) == start for pid, start in self.starts.items())

    @property
    def is_alive(self) -> bool:
        """Whether it runs, or was killed with its guardians and something of its steps goes on."""
        if self.is_running or all(map(self.is_over, self.stages)):
            return self.is_running
        return self.is_here and bool(marked(self.mark))

    @property
    def name(self) -> str:
        """Which process it is."""
        where = "" if self.is_here else f" on {self.host}"
        state = "" if self.is_running else ", which was killed, but not what its steps had started"
        return f"process {self.pid}{where}{state}"

    def is_over(self, job_id: str) -> bool:
        """Whether a step, or each step of a stage, has ended by its events."""
        events = (self.states.get(key, {}) for key in self.stages.get(job_id, [job_id]))
        return all(event.get("state") in FINAL for event in events)


class Follower:
    """Reads a file of events as it grows, each line once.

    Attributes:
        states: by key, the last event of each step.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._touched = 0.0
        self._head: dict[str, Any] | None = None
        self.states: dict[str, dict[str, Any]] = {}

    def new(self) -> list[dict[str, Any]]:
        """The changes since the last call, in order."""
        changes = []
        for event in self._new_lines():
            key = fields.text(event, "key")
            if key is not None and _is_change(event):
                self.states[key] = {**self.states.get(key, {}), **event}
                changes.append(event)
            elif self._head is None and _is_head(event):
                self._head = event
        return changes

    @property
    def engine(self) -> EngineStatus | None:
        """The engine as of the last call of `new`; None if there was no event yet."""
        head = self._head
        if head is None:
            return None
        pid = int(head["pid"])
        starts = {pid: fields.text(head, "start")}
        guardians = fields.mapping(head, "guardians")
        starts |= {int(one): fields.text(guardians, one) for one in guardians if one.isdecimal()}
        stages, states = self._stages, self.states
        return EngineStatus(pid, head["host"], head["mark"], starts, stages, states, self._touched)

    @cached_property
    def _stages(self) -> dict[str, list[str]]:
        stages = {}
        for number, count in (self._head or {}).get("stages", []):
            key = f"{self._path.stem}.{number}"
            stages[key] = [key] if count is None else [f"{key}_{i}" for i in range(count)]
        return stages

    def _new_lines(self) -> Iterator[dict[str, Any]]:
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
                event = fields.parse(line)
                if isinstance(event, dict):
                    yield event


def _is_change(event: Mapping[str, Any]) -> bool:
    """Whether this says what has become of a step, and when."""
    given = (event.get("elapsed_s"), event.get("cause"))
    read = (fields.number(event, "elapsed_s"), fields.text(event, "cause"))
    return given == read and None not in (fields.text(event, "state"), fields.number(event, "at"))


def _is_head(event: Mapping[str, Any]) -> bool:
    """Whether this is about an engine: which process it is, and what it runs."""
    read = (fields.whole(event, "pid"), fields.text(event, "host"), fields.text(event, "mark"))
    stages = event.get("stages")
    return None not in read and isinstance(stages, list) and all(map(_is_stage, stages))


def _is_stage(content: Any) -> bool:
    """Whether this is the number of a stage, with that of its tasks if it is an array."""
    number, count = content if isinstance(content, list) and len(content) == 2 else ("", "")
    return isinstance(number, int) and (
        count is None or (isinstance(count, int) and count <= _MAX_TASKS)
    )


def read(path: Path) -> EngineStatus | None:
    """The engine that writes a file of events; None if there is none (yet).

    Of an engine that has ended, all events are read: one that is found dead is read once more.
    """
    follower = Follower(path)
    follower.new()
    if follower.engine is not None and not follower.engine.is_alive:
        follower.new()
    return follower.engine


def forbid(path: Path) -> bool:
    """Keep an engine without any event yet from ever starting; False if it has one."""
    try:
        os.close(open_file(path, _NEW))
    except FileExistsError:
        return read(path) is None
    return True
