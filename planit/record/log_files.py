"""The logs of a step: one file per attempt, the newest first asked for."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from planit.record import step_files
from planit.record.history import History, Leaf
from planit.record.run_dir import RunDir

_FOLLOW_PAUSE_S = 0.5
_TAIL_BYTES = 8192
# Slurm's own lines about memory, by its polling and by the kernel's control groups. Slurm 26.05
# puts the time in brackets before them, 24.11 if LogTimeFormat says format_stderr.
_MEMORY_COMPLAINT = re.compile(
    r"^(slurmstepd\S*:|\[.*\]) error: .*(exceeded (job )?memory limit|oom[-_ ]?kill)",
    re.IGNORECASE | re.MULTILINE,
)


def log_files(run: RunDir, past: History, leaf: Leaf) -> list[Path]:
    """The logs of a step's newest job: its own, and what Slurm itself said about an array task.

    They may not exist (yet).
    """
    place = past.placements.get(leaf.name)
    if place is None or place.key is None:
        return []
    folder = run.step_dir(leaf.slug)
    files = [folder / step_files.log(place.key)]
    ranks = sorted(folder.glob(step_files.log(place.key, "*")), key=_rank)
    files += [path for path in ranks if path not in files]
    if place.index is not None and place.job is not None:
        folder = run.stage_dir(place.submission, place.stage).path
        said = folder / step_files.array_log(place.index, place.job.job_id)
        if said.exists() and said.stat().st_size:
            files.append(said)
    return files


def older_logs(run: RunDir, past: History, leaf: Leaf) -> list[Path]:
    """The logs of a step's earlier jobs, the oldest first."""
    newest = set(log_files(run, past, leaf))
    files = [
        path
        for path in run.step_dir(leaf.slug).glob(step_files.log("*", "*"))
        if path not in newest
    ]
    return sorted(files, key=lambda path: path.stat().st_mtime)


def _rank(path: Path) -> int:
    return step_files.rank_of(path.name)


def has_memory_complaint(run: RunDir, past: History, leaf: Leaf) -> bool:
    """Whether Slurm wrote at the end of a step's log that it ended the job for its memory."""
    for path in log_files(run, past, leaf):
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
