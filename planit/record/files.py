"""Files of a run directory: this user's alone, replaced whole or not at all.

What a plan was given may hold secrets, so nobody else can read them: whatever the umask, and under
a default access control list too, which overrides the umask. With ``share: group`` the group may
read. A folder of a shared run has the sticky bit, which does nothing where only the owner may
write, and which only the owner can set: by it, what is added to the run later is shared as well.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from planit.errors import PlanError, RunError, StorageError
from planit.record import fields
from planit.record.umask import current_umask

_DIR_MODE = 0o755
_FILE_MODE = 0o600
_LOG_MODE = 0o644
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_GROUP_ENTERS = stat.S_IRGRP | stat.S_IXGRP
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL
_SHARES = (None, "group")
_SLUG_BYTES = 100
_NO_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE)
_HARMLESS = re.compile(rf"\w[\w.-]{{0,{_SLUG_BYTES - 1}}}", re.ASCII)


def is_group(share: object) -> bool:
    """Whether the group may read. Raises PlanError unless `share` is None or "group"."""
    if share not in _SHARES:
        raise PlanError(f"share={share} is unknown", hint="share=group, or null: nobody else reads")
    return share == "group"


def is_shared(folder: Path | int) -> bool:
    """Whether a folder of a run is shared with its group; no folder is that others may write."""
    mode = (os.fstat(folder) if isinstance(folder, int) else folder.stat()).st_mode
    return bool(mode & stat.S_ISVTX) and not mode & _OTHERS_WRITE


def make_dir(path: Path, *, group_enters: bool = False) -> Path:
    """Make a folder (and its parents) under the user's umask, closed to writes by others.

    What is made in a shared folder is shared. `group_enters`: open to the group all the same.
    """
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    mode = dir_mode(shared=is_shared(path)) if missing else 0
    for folder in reversed(missing):
        try:
            with told_of(folder):
                os.mkdir(folder, _DIR_MODE)
        except OSError as error:
            if isinstance(error, FileExistsError) and folder.is_dir():
                continue  # somebody else was quicker
            raise RunError(f"cannot make the folder {folder}: {error.strerror}") from None
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            set_mode(handle, mode | (_GROUP_ENTERS if group_enters else 0))
        finally:
            os.close(handle)
    return missing[0] if missing else path


def dir_mode(*, shared: bool) -> int:
    """The mode of a new folder of a run."""
    mode = _DIR_MODE & ~current_umask()
    return mode | _GROUP_ENTERS | stat.S_ISVTX if shared else mode


def set_mode(handle: int, mode: int) -> None:
    """Give an open file or folder its mode, which an access control list may have changed."""
    now = stat.S_IMODE(os.fstat(handle).st_mode)
    mode |= now & stat.S_ISGID  # a project's folder hands its group on by it
    if now != mode:
        os.fchmod(handle, mode)


@contextlib.contextmanager
def told_of(path: Path) -> Iterator[None]:
    """Raise StorageError, naming `path`, where the file system is full, read-only or broken."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_STORAGE:
            raise
        reason = error.strerror or type(error).__name__
        hint = "free some space, or keep runs elsewhere"
        raise StorageError(f"cannot write {path}: {reason}", hint=hint, reason=reason) from error


def open_file(path: Path, flags: int) -> int:
    """Open a file of a run to write to it, made if need be; its descriptor.

    No link is followed, and nobody but this user can write to it afterwards.

    Raises:
        StorageError: the file system is full, read-only or broken.
    """
    mode = _FILE_MODE | (stat.S_IRGRP if is_shared(path.parent) else 0)
    with told_of(path):
        handle = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        set_mode(handle, mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def open_log(path: Path) -> int:
    """Open a log of a run to append to it; readable as far as the umask allows."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(path, flags, _LOG_MODE)
    _close_log(handle, shared=is_shared(path.parent))
    return handle


def write_atomic(path: Path, content: bytes | str, *, flush: bool = True) -> None:
    """Write a file so that a reader sees the old content or the new one, whatever happens.

    Without `flush`, a machine that dies at once may forget it.

    Raises:
        StorageError: the file system is full, read-only or broken.
    """
    data = content.encode() if isinstance(content, str) else content
    # Hosts share the folder, so a process id is not enough; mkstemp would ignore the umask.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = open_file(temporary, _NEW)
    try:
        with told_of(path), os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            if flush:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def overwrite(path: Path, content: bytes) -> None:
    """Write over a file that is there, in the space that it has; where nothing else can be written.

    A reader may see a part of it for a moment.

    Raises:
        StorageError: the file system is read-only or broken, or the space does not do.
    """
    with told_of(path), os.fdopen(os.open(path, os.O_WRONLY | os.O_CLOEXEC), "wb") as file:
        file.write(content)
        file.truncate()


def write_all(handle: int, content: bytes) -> None:
    """Write at once; raises OSError if there is space for a part only."""
    if os.write(handle, content) < len(content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def write_new(path: Path, content: bytes | str) -> None:
    """Write a file that nobody reads yet; cheaper than `write_atomic`.

    What is there is removed, not written to: it could be a link, or another user's.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        handle = open_file(path, _NEW)
    except FileExistsError:
        os.unlink(path)
        handle = open_file(path, _NEW)
    with told_of(path), os.fdopen(handle, "wb") as file:
        file.write(data)


def close_log(*, shared: bool = False) -> None:
    """Keep others from writing to the log that this process prints to.

    Slurm makes it, and where a default access control list overrides the umask others may write.

    Args:
        shared: let the group read it, whatever the umask was.
    """
    for stream in (1, 2):
        with contextlib.suppress(OSError):
            _close_log(stream, shared=shared)


def _close_log(handle: int, *, shared: bool) -> None:
    info = os.fstat(handle)
    if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid():
        mode = stat.S_IMODE(info.st_mode) & ~_OTHERS_WRITE
        set_mode(handle, mode | (stat.S_IRGRP if shared else 0))


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, ensure_ascii=False, default=repr) + "\n")


def read_json(path: Path) -> Any | None:
    """The JSON in a file; None if there is none, or it is not whole."""
    try:
        return fields.parse(path.read_bytes())
    except (OSError, ValueError):
        return None


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A short, unique and harmless file name for each step name.

    A name that is harmless stays; others are numbered: ``train-003`` for ``train[lr=0.1,seed=3]``.
    """
    wanted = list(names)
    taken = {name.casefold() for name in wanted if _HARMLESS.fullmatch(name)}
    kept: set[str] = set()
    numbers: dict[str, int] = {}
    result: dict[str, str] = {}
    for name in wanted:
        folded = name.casefold()
        if folded in taken and folded not in kept and _HARMLESS.fullmatch(name):
            kept.add(folded)
            result[name] = name
            continue
        base = slug_of(name.partition("[")[0])
        while True:
            number = numbers.get(base, 0)
            numbers[base] = number + 1
            slug = f"{base}-{number:03}"
            if slug.casefold() not in taken:
                break
        taken.add(slug.casefold())
        result[name] = slug
    return result


def slug_of(text: str) -> str:
    """`text` with only letters, digits and ``._-``, not too long, not hidden."""
    slug = re.sub(r"[^\w.-]+", "_", text).strip("_").lstrip(".-") or "step"
    return slug.encode()[:_SLUG_BYTES].decode(errors="ignore")
