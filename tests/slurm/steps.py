"""What the steps of these tests run. They talk to the tests through files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission


def note(path: str | Path, text: object = "ran") -> object:
    """Add a line to a file, so that a test sees how often this ran; return `text`."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    print(f"noted {text}", flush=True)
    return text


def note_unless(bad: str | Path, path: str | Path, text: object = "ran") -> object:
    """`note`, but fail as long as the file `bad` is there."""
    if Path(bad).exists():
        raise ValueError(f"{Path(bad).name} is there")
    return note(path, text)


def gate(path: str | Path, log: str | Path = os.devnull, seconds: float = 60) -> None:
    """Run until the file is there, or the time is over."""
    note(log, "begun")
    until = time.monotonic() + seconds
    while not Path(path).exists() and time.monotonic() < until:
        time.sleep(0.05)


def gate_below(path: str | Path, log: str | Path, seconds: float = 60) -> None:
    """`gate`, which notes the process that has started the step."""
    note(log, os.getppid())
    gate(path, seconds=seconds)


def fail(text: str = "broken") -> None:
    """Fail, with any text."""
    raise ValueError(text)


def succeed() -> None:
    """Nothing."""


def killed() -> None:
    """End as `kill -9` of the worker would end it."""
    os.kill(os.getpid(), signal.SIGKILL)


def hog(megabytes: int = 400) -> None:
    """Take more memory than the job may have, and keep it."""
    taken = b"x" * (megabytes * 2**20)
    time.sleep(60)
    del taken


def environment(path: str | Path) -> None:
    """Write down what a step sees."""
    mask = os.umask(0)
    os.umask(mask)
    names = ("PLANIT_RUN_DIR", "PLANIT_STEP", "PLANIT_STEP_DIR", "FROM_SETUP", "SLURM_PROCID")
    lines = [f"{name}={os.environ.get(name)}" for name in names]
    note(path, "\n".join([*lines, f"cwd={Path.cwd()}", f"umask={mask:03o}"]))


def whole_environment(path: str) -> None:
    """Write down all variables."""
    Path(path).write_text(json.dumps(dict(os.environ)))


def child(path: str | Path) -> None:
    """Wait for a child process, so that a signal may end the child first."""
    note(path, "begun")
    subprocess.run(["sleep", "60"], check=True)


def wait_for(path: str | Path, seconds: float = 60) -> None:
    """Fail if the file does not come."""
    until = time.monotonic() + seconds
    while not Path(path).exists():
        if time.monotonic() > until:
            raise TimeoutError(path)
        time.sleep(0.05)


class Counter:
    """A step that can save itself: counts on where it was stopped."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.attempts = 0

    def __call__(self, stop: str) -> int:
        """Write down the attempt; run until the file `stop` is there, but the last one at once."""
        self.attempts += 1
        note(self.path, f"attempt {self.attempts}")
        if self.attempts == 1:
            gate(stop)
            time.sleep(60)
        return self.attempts

    def checkpoint(self, *args: Any) -> DelayedSubmission:
        """What submitit asks for before it requeues the job."""
        return DelayedSubmission(self, *args)
