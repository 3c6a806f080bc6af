"""The user's umask, and the stricter ones under which the files of a run are made.

A step and its own files keep the user's: a shared project may want files that its group can write.
What planit, Slurm and submitit leave in a run directory is never writable by group or others, for
a worker refuses such files; and what is not a log is this user's alone, or its group's to read.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

_OTHERS_WRITE = 0o022


def current_umask() -> int:
    """The umask, read without changing it where the kernel shows it."""
    with suppress(OSError):
        match = re.search(r"^Umask:\s*(\d+)", Path("/proc/self/status").read_text(), re.MULTILINE)
        if match:
            return int(match[1], 8)
    return 0o022


def closed_umask() -> int:
    """The umask, and no writing by group or others."""
    return current_umask() | _OTHERS_WRITE
