"""Ways in which a step can end."""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn


def segfault() -> None:
    ctypes.string_at(0)


def send(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


class NoTextError(Exception):
    """Nothing of it can be shown."""

    def __init__(self, problem: BaseException) -> None:
        self.problem = problem

    def __str__(self) -> str:
        raise self.problem

    __repr__ = __str__


def no_text(problem: BaseException) -> NoReturn:
    raise NoTextError(problem)


class Broken(io.StringIO):
    """A stream that can neither be flushed nor written to."""

    def write(self, text: str) -> int:
        raise RuntimeError("cannot write")

    def flush(self) -> None:
        raise RuntimeError("cannot flush")


def streams(how: str) -> None:
    """Do something to standard output and error."""
    if how == "closed":
        sys.stdout.close()
        sys.stderr.close()
    elif how == "descriptors":
        os.close(1)
        os.close(2)
    else:
        made: dict[str, Any] = {
            "replaced": io.StringIO(),
            "none": None,
            "broken": Broken(),
            "object": object(),
        }
        sys.stdout = sys.stderr = made[how]


def fails_after(how: str) -> NoReturn:
    streams(how)
    raise ValueError("broken")


def returns_after(how: str) -> Any:
    """Return what cannot be pickled, of which planit wants to tell."""
    streams(how)
    return signal.getsignal, (number for number in range(3)), sys.stdin


def many(rank: int, how: str) -> None:
    """One rank ends in some way, while the others wait."""
    if int(os.environ["SLURM_PROCID"]) != rank:
        time.sleep(60)
    elif how == "segfault":
        segfault()
    elif how == "interrupt":
        interrupt()
    elif how == "error":
        raise ValueError("broken")
    elif how == "memory":
        taken = b"x" * (400 << 20)
        time.sleep(60)
        del taken
    else:
        os._exit(3)


def fills(path: str) -> None:
    """Fill the file system, unless there is a file that says not to."""
    if Path(path).with_suffix(".not").exists():
        return
    with Path(path).open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
