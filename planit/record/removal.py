"""Deletes run directories: what of the disk that frees, and in which order it goes.

The manifest is renamed first, to ``removed.json``, and from then on there is no run for any reader.
That file and the lock go last, so that what a killed deletion left can be told from a run that is
just being made, and the next one finishes it.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from planit.errors import RunError
from planit.record import lock, trust
from planit.record.frozen_code import FOLDER as CODE
from planit.record.run_dir import STATES
from planit.record.run_paths import MANIFEST

REMOVED = "removed.json"  # the manifest of a run that is being deleted
_TRIES = 3  # a reader may write its cache of states into the folder meanwhile


@dataclass(frozen=True)
class Room:
    """What files take up.

    Attributes:
        files: how many there are, by name.
        freed: bytes that are free when they are gone.
        shared: bytes of theirs that stay, as other runs have the same files by hard links.
    """

    files: int = 0
    freed: int = 0
    shared: int = 0


def room_of(run_paths: Iterable[Path]) -> Room:
    """What the files of runs take up together; a file with several names counts once."""
    files, freed = 0, 0
    others: dict[tuple[int, int], tuple[int, int]] = {}  # names that are not seen yet, and size
    for path in run_paths:
        for _, info in _entries(path):
            files += 1
            if info.st_nlink == 1:
                freed += info.st_size
                continue
            key = (info.st_dev, info.st_ino)
            left, size = others.get(key, (info.st_nlink, info.st_size))
            others[key] = (left - 1, size)
    freed += sum(size for left, size in others.values() if left <= 0)
    return Room(files, freed, sum(size for left, size in others.values() if left > 0))


def changed_at(run_path: Path) -> float:
    """When the newest file of a run was written, in seconds since 1970.

    Frozen code is as old as its originals, and states and lock are written by who only looks.
    """
    passed = (f"{run_path}/{CODE}/", f"{run_path}/{STATES}", f"{run_path}/{lock.NAME}")
    times = [info.st_mtime for path, info in _entries(run_path) if not path.startswith(passed)]
    return max(times, default=0.0)


def _entries(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """All below a folder that is not a folder; links are not followed."""
    folders = [str(folder)]
    while folders:
        with suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    with suppress(FileNotFoundError):
                        yield entry.path, entry.stat(follow_symlinks=False)


def leftovers(*bases: Path) -> list[Path]:
    """The folders of runs that were not deleted as a whole."""
    return sorted(path.parent for base in bases for path in base.glob(f"*/*/{REMOVED}"))


def remove(run_path: Path) -> None:
    """Delete a run, or the rest of one, whose lock is held; the plan's folder too if it is empty.

    Raises:
        RunError: other users could have written it, or something in it cannot be deleted.
    """
    with trust.opened(run_path) as run:
        try:
            with suppress(FileNotFoundError):  # then a deletion has begun before
                os.rename(MANIFEST, REMOVED, src_dir_fd=run.fd, dst_dir_fd=run.fd)
            _open_up(run.fd)
            for _ in range(_TRIES):
                _empty(run.fd, keep=(REMOVED, lock.NAME))
            _empty(run.fd, keep=())
            run.path.rmdir()
        except OSError as error:
            what = os.fsdecode(error.filename or "")
            hint = "planit clean again goes on with it"
            raise RunError(
                f"cannot delete all of {run.path}: {what}: {error.strerror}", hint=hint
            ) from None
    with suppress(OSError):
        run.path.parent.rmdir()


def _empty(folder: int, *, keep: tuple[str, ...]) -> None:
    for name in os.listdir(folder):
        if name in keep:
            continue
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=folder)
            else:
                os.unlink(name, dir_fd=folder)


def _open_up(folder: int) -> None:
    """Let this user delete what is in folders that are read-only, as steps may leave them."""
    for _, names, _, here in os.fwalk(dir_fd=folder):
        for name in names:
            info = os.stat(name, dir_fd=here, follow_symlinks=False)
            if stat.S_ISDIR(info.st_mode) and info.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                with suppress(OSError):
                    os.chmod(name, stat.S_IMODE(info.st_mode) | stat.S_IRWXU, dir_fd=here)
