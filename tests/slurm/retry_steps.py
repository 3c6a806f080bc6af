"""What the steps of the tests of retries run: each notes its tries in a file of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

MB = 2**20


def note(path: str, text: str) -> None:
    """Add a line to a file."""
    with Path(path).open("a") as file:
        file.write(f"{text}\n")


def tried(path: str) -> int:
    """Which try this is, from 1."""
    number = len(Path(path).read_text().splitlines()) + 1 if Path(path).exists() else 1
    note(path, f"try {number}")
    return number


def flaky(path: str, failures: int) -> None:
    """Fail so many times with an error of the network."""
    if tried(path) <= failures:
        raise ConnectionResetError("the other side is gone")


def fails(path: str, _number: int) -> None:
    """Fail with another error."""
    tried(path)
    raise ValueError("broken")


def cuda_out_of_memory(path: str, failures: int) -> None:
    """Fail as torch does."""
    if tried(path) <= failures:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


def needs_memory(path: str, megabytes: int) -> None:
    """Fail as a process does that gets no more memory than its job has."""
    tried(path)
    if megabytes > memory_mb():
        raise MemoryError


def memory_mb() -> int:
    """What the job has: by Slurm, or by what the engine granted in the attempt before."""
    if (by_slurm := os.environ.get("SLURM_MEM_PER_NODE")) is not None:
        return int(by_slurm)
    run, stage = os.environ["PLANIT_RUN_DIR"], os.environ["PLANIT_STAGE"]
    restart = int(os.environ["PLANIT_RESTART"])
    if restart == 0:
        return 0
    folder = Path(run, "stages", f"{os.environ['PLANIT_SUBMISSION']}.{stage}")
    record = folder / f"{os.environ['PLANIT_TASK']}.{restart - 1}.json"
    before: Any = json.loads(record.read_text().splitlines()[0])
    return int(before["retry"]["memory_mb"])


def slow_until(path: str, tries: int) -> None:
    """Take longer than any time limit, but not the last time."""
    if tried(path) < tries:
        time.sleep(600)


def killed_at_its_limit(path: str, megabytes: int) -> None:
    """Take so much memory, and end the first time as the kernel ends a process that takes more."""
    if tried(path) == 1:
        taken = b"x" * (megabytes * MB)
        os.kill(os.getpid(), signal.SIGKILL)
        del taken


def runs_until(path: str, stop: str) -> None:
    """Run until the file `stop` is there."""
    tried(path)
    end = time.monotonic() + 60
    while not Path(stop).exists() and time.monotonic() < end:
        time.sleep(0.05)


def memory_is_out(path: str, failures: int) -> None:
    """Fail so many times as a process does that gets no more memory."""
    if tried(path) <= failures:
        raise MemoryError
