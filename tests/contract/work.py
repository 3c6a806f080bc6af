"""Step functions of the contract suite."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission


def _append(path: str | Path, text: object) -> None:
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


def plain(number: int) -> int:
    return 2 * number


def pair(x: int) -> tuple[int, float]:
    return x, 0.5


def note(path: str, text: object) -> None:
    _append(path, text)


def timed(folder: str, name: str) -> None:
    start = time.time()
    time.sleep(0.1)
    Path(folder, f"{name}.json").write_text(json.dumps({"start": start, "end": time.time()}))


def fail() -> None:
    raise ValueError("broken")


def fail_if(fails: bool) -> None:
    if fails:
        raise ValueError("unlucky")


def fail_unless(path: str) -> None:
    if not Path(path).exists():
        raise ValueError("not mended yet")


def crowd(room: str, number: int) -> None:
    """Note how many are in the room at once."""
    me = Path(room, uuid.uuid4().hex)
    me.touch()
    _append(f"{room}.most", sum(1 for path in Path(room).iterdir() if path.is_file()))
    time.sleep(0.5)
    me.unlink()


def variable(path: str, name: str) -> None:
    """Write a variable of the environment, or all of it."""
    _append(path, os.environ[name] if name else json.dumps(dict(os.environ)))


def loud(characters: int) -> None:
    line = "x" * 9_999 + "\n"
    for _ in range(characters // len(line)):
        sys.stdout.write(line)


def sleep(path: str, seconds: float) -> None:
    _append(path, "begun")
    time.sleep(seconds)


def ignore_signals(path: str, seconds: float) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sleep(path, seconds)


class Counter:
    """Saves itself when it is warned, and is quick the second time."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.attempts = 0

    def __call__(self) -> int:
        self.attempts += 1
        _append(self.path, f"attempt {self.attempts}")
        if self.attempts == 1:
            time.sleep(30)
        return self.attempts

    def checkpoint(self, *args: Any) -> DelayedSubmission:
        return DelayedSubmission(self, *args)
