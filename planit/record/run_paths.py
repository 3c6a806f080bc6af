"""Which runs are in a folder, by the names of files only: quick, for a shell waits for it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

MANIFEST = "manifest.json"

_TIME = re.compile(r"\d{8}-\d{6}(-\d{3}(?=-))?")  # what a run id begins with


def run_paths(bases: Iterable[Path]) -> list[Path]:
    """The run directories ``BASE/PLAN/ID`` in folders of runs, the newest first.

    Raises:
        OSError: for a folder that cannot be there.
    """
    found = []
    for base in bases:
        with suppress(FileNotFoundError, NotADirectoryError):
            base.stat()
        for _, plan in _folders(str(base)):
            for name, run in _folders(plan):
                with suppress(OSError):  # no run, or removed at this moment
                    found.append((_age(name, run), run))
    return [Path(run) for _, run in sorted(found, key=lambda pair: pair[0], reverse=True)]


def is_mine(run: Path) -> bool:
    """Whether a run, and a link that leads to it, belong to this user."""
    plan, mine = os.path.dirname(run), os.geteuid()
    try:
        return os.lstat(run).st_uid == mine and (
            not os.path.islink(plan) or os.lstat(plan).st_uid == mine
        )
    except OSError:
        return False


def _folders(path: str) -> Iterator[tuple[str, str]]:
    """Names and paths."""
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir():
                yield entry.name, entry.path


def _age(name: str, run: str) -> tuple[str, int]:
    """Run ids begin with their time; the manifest is written when a run begins, never again."""
    time = _TIME.match(name)
    return (time[0] if time else "", os.stat(f"{run}/{MANIFEST}").st_mtime_ns)
