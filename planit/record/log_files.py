"""The logs of a step: one file per job, and one per rank where it has several."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from planit.record.history import History, Leaf
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles

_FOLLOW_PAUSE_S = 0.5
_TAIL_BYTES = 8192
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
    return TaskFiles(run.path, place.submission, place.stage, place.index or 0).log()


def log_files(run: RunDir, history: History, leaf: Leaf) -> list[Path]:
    """The logs of a step's newest job: its own, then those of its ranks, if it has several.

    The first may not exist (yet).
    """
    place = history.placements.get(leaf.name)
    if place is None or place.key is None:
        return []
    return TaskFiles(run.path, place.submission, place.stage, place.index or 0).logs()


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
    """The lines of a log, or its last `count`; undecodable bytes are replaced."""
    try:
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from file if count is None else deque(file, maxlen=count)
    except FileNotFoundError:
        return


def follow(path: Path, is_over: Callable[[], bool], count: int | None = None) -> Iterator[str]:
    """The lines of a log as they are written, until `is_over` and nothing more comes."""
    position = 0
    first = True
    while True:
        over = is_over()
        if path.exists():
            if first:
                yield from read_tail(path, count)
                position, first = path.stat().st_size, False
            else:
                with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
                    file.seek(position)
                    text = file.read()
                    position = file.tell()
                if text:
                    yield text
        if over:
            return
        time.sleep(_FOLLOW_PAUSE_S)
