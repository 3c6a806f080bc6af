"""The logs of a step: one file per job, and one per rank where it has several."""

from __future__ import annotations

import codecs
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from planit.errors import RunError
from planit.record.history import History, Leaf
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles

_FOLLOW_PAUSE_S = 0.5
_TAIL_BYTES = 8192
_BLOCK_BYTES = 1 << 16
# Slurm's own lines about memory, by its polling and by the kernel's control groups. Slurm 26.05
# puts the time in brackets before them, 24.11 if LogTimeFormat says format_stderr.
_MEMORY_COMPLAINT = re.compile(
    r"^(slurmstepd\S*:|\[.*\]) error: .*(exceeded (job )?memory limit|oom[-_ ]?kill)",
    re.IGNORECASE | re.MULTILINE,
)


def main_log(run: RunDir, history: History, name: str) -> Path | None:
    """The log of a step's newest job, which may not exist (yet); None if it has no job."""
    place = history.placements.get(name)
    if place is None or place.key is None:
        return None
    return TaskFiles(run.path, place.submission, place.stage, place.task).log()


def log_files(run: RunDir, history: History, leaf: Leaf) -> list[Path]:
    """The logs of a step's newest job: its own, then those of its ranks, if it has several.

    The first may not exist (yet).
    """
    place = history.placements.get(leaf.name)
    if place is None or place.key is None:
        return []
    return TaskFiles(run.path, place.submission, place.stage, place.task).logs()


def older_logs(run: RunDir, history: History, leaf: Leaf) -> list[Path]:
    """The logs of a step's earlier jobs, the oldest first."""
    newest = set(log_files(run, history, leaf))
    files = [
        log for at in history.places.get(leaf.name, ()) for log in TaskFiles(run.path, *at).logs()
    ]
    return [path for path in files if path not in newest and path.exists()]


def has_memory_complaint(run: RunDir, history: History, leaf: Leaf) -> bool:
    """Whether Slurm wrote at the end of a step's log that it ended the job for its memory."""
    for path in log_files(run, history, leaf):
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                text = file.read().decode(errors="replace")
        except OSError:
            continue
        if _MEMORY_COMPLAINT.search(text):
            return True
    return False


def read_tail(path: Path, count: int | None) -> Iterator[str]:
    """The text of a log, or its last `count` lines, in blocks; undecodable bytes are replaced.

    Raises:
        RunError: it cannot be read.
    """
    with _opened(path) as file:
        if file is not None:
            file.seek(_start_of_tail(file, count))
            yield from _texts(file, _decoder())


def follow(
    path: Path,
    is_over: Callable[[], bool],
    count: int | None = None,
    *,
    pause_s: float = _FOLLOW_PAUSE_S,
) -> Iterator[str]:
    """The text of a log as it is written, until `is_over` and nothing more comes.

    Raises:
        RunError: it cannot be read.
    """
    decoder, position = _decoder(), -1
    while True:
        over = is_over()
        with _opened(path) as file:
            if file is not None:
                position = _start_of_tail(file, count) if position < 0 else position
                file.seek(position)
                yield from _texts(file, decoder)
                position = file.tell()
        if over:
            return
        time.sleep(pause_s)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO | None]:
    """A log, to read; None where there is none (yet)."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from None
    with file:
        yield file


def _start_of_tail(file: BinaryIO, count: int | None) -> int:
    """Where the last `count` lines begin. Only a block is held in memory, however long a line."""
    at = end = file.seek(0, os.SEEK_END)
    if not count:
        return 0 if count is None else end
    while at > 0:
        start = max(0, at - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(at - start)
        found = len(block) - (at == end)  # the end of the last line begins no other
        while (found := block.rfind(b"\n", 0, found)) >= 0:
            count -= 1
            if count == 0:
                return start + found + 1
        at = start
    return 0


def _texts(file: BinaryIO, decoder: codecs.IncrementalDecoder) -> Iterator[str]:
    while block := file.read(_BLOCK_BYTES):
        yield decoder.decode(block)


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="replace")
