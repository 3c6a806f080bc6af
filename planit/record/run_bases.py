"""Which folders of runs this user has, and where their runs were submitted from.

::

    $XDG_STATE_HOME/planit/runs/<hash of a working directory>/<hash of a folder of runs>

Each is a link to the folder of runs, made when a run is submitted from the working directory. There
is nothing to lock: a link is made at once or not at all, and the runs themselves are those that are
in the folder. Where no link can be made (no home, read-only, full), runs are found only where the
configuration says that they are.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

_UNUSED_S = 90 * 86400  # a folder may be on a file system that is not mounted today


def remember(base: Path) -> None:
    """Keep that runs which are submitted from the working directory are in a folder.

    Args:
        base: absolute.
    """
    with suppress(OSError):
        link = _link(base)
        try:
            os.utime(link, follow_symlinks=False)
        except FileNotFoundError:
            link.parent.mkdir(0o700, parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another submission was quicker
                link.symlink_to(base)


def is_remembered(base: Path) -> bool:
    """Whether a folder is one that `of_folder` has for the working directory."""
    with suppress(OSError):
        return _link(base).readlink() == base
    return False


def of_folder(folder: Path) -> list[Path]:
    """The folders of the runs that were submitted from a working directory, if they are there."""
    with suppress(OSError):
        return [base for _, base in _targets(_place() / _hash(folder)) if base.is_dir()]
    return []


def every() -> list[Path]:
    """All that are there, each once. A link that has led nowhere for months is removed."""
    found: dict[Path, None] = {}
    for link, base in _all_targets():
        if base.is_dir():
            found[base] = None
            continue
        with suppress(OSError):
            if link.lstat().st_mtime < time.time() - _UNUSED_S:
                link.unlink()
                link.parent.rmdir()
    return list(found)


def each_once(bases: Iterable[Path]) -> list[Path]:
    """Folders as one would type them here, each once, whatever links lead to it."""
    found: dict[Path, Path] = {}
    here = Path.cwd()
    for base in bases:
        short = base.relative_to(here) if base.is_relative_to(here) else base
        found.setdefault(base.resolve(), short)
    return list(found.values())


def _all_targets() -> list[tuple[Path, Path]]:
    with suppress(OSError):
        return [pair for folder in _entries(_place()) for pair in _targets(folder)]
    return []


def _targets(folder: Path) -> Iterator[tuple[Path, Path]]:
    for link in _entries(folder):
        with suppress(OSError):
            yield link, link.readlink()


def _entries(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return []


def _link(base: Path) -> Path:
    return _place() / _hash(Path.cwd()) / _hash(base)


def _hash(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def _place() -> Path:
    """See the XDG Base Directory Specification; a relative path is not one.

    Raises:
        FileNotFoundError: the user has no home.
    """
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():
        try:
            state = Path.home() / ".local" / "state"
        except RuntimeError:
            raise FileNotFoundError("no home folder") from None
    return state / "planit" / "runs"
