"""What the steps of the faults run: they append to one file who began and who ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


def line(path: str | Path, text: str) -> None:
    """Append a line with one write, so that lines of several processes never mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, f"{text}\n".encode())
    finally:
        os.close(handle)


def birth(pid: int) -> str | None:
    """When a process started, in ticks since boot; None if it has ended (a zombie has, too)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Line:
    """What a step wrote: "begin" or "end", or that an earlier one of its name still ran."""

    name: str
    what: str
    job: str
    pid: int
    born: str
    at: float


def read(path: Path) -> Iterator[Line]:
    """All whole lines so far, in their order: the last one may be half written as it is read."""
    for text in path.read_text().split("\n")[:-1] if path.exists() else ():
        name, what, job, pid, born, at = text.split("\t")
        yield Line(name, what, job, int(pid), born, float(at))


def work(log: str, name: str, seconds: float = 0.0, go: str = "", bad: str = "") -> str:
    """Write "begin"; take the seconds, or wait for the file `go`; write "end".

    It fails if there is a file `bad` then.
    """
    note(log, name, "begin")
    for earlier in read(Path(log)):
        mine = earlier.name == name and earlier.what == "begin" and earlier.pid != os.getpid()
        if mine and birth(earlier.pid) == earlier.born:
            note(log, name, "overlap")
    time.sleep(seconds)
    until = time.monotonic() + 300
    while go and not Path(go).exists() and time.monotonic() < until:
        time.sleep(0.1)
    if bad and Path(bad).exists():
        raise ValueError(f"{Path(bad).name} is there")
    note(log, name, "end")
    return name


def note(log: str | Path, name: str, what: str) -> None:
    """One line of a step."""
    job = os.environ.get("SLURM_ARRAY_JOB_ID") or os.environ.get("SLURM_JOB_ID", "-")
    words = (name, what, job, os.getpid(), birth(os.getpid()), f"{time.time():.3f}")
    line(log, "\t".join(map(str, words)))
