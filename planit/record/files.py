"""Files of a run directory: never writable by group or others, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from planit.errors import RunError

_DIR_MODE = 0o755
_FILE_MODE = 0o644
_SLUG_BYTES = 100


def make_dir(path: Path) -> Path:
    """Make a folder (and its parents) under the user's umask, closed to writes by others."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        try:
            os.mkdir(folder, _DIR_MODE)
        except OSError as error:
            if isinstance(error, FileExistsError) and folder.is_dir():
                continue  # somebody else was quicker
            raise RunError(f"cannot make the folder {folder}: {error.strerror}") from None
    return missing[0] if missing else path


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a file so that a reader sees the old content or the new one, whatever happens."""
    data = content.encode() if isinstance(content, str) else content
    # Hosts share the folder, so a process id is not enough; mkstemp would ignore the umask.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_new(path: Path, content: bytes | str) -> None:
    """Write a file that nobody reads yet; cheaper than `write_atomic`."""
    data = content.encode() if isinstance(content, str) else content
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(data)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, ensure_ascii=False, default=repr) + "\n")


def read_json(path: Path) -> Any | None:
    """The JSON in a file; None if there is none, or it is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def why_untrusted(paths: Iterable[Path]) -> str | None:
    """Why the content of `paths` could be another user's, or None if it cannot be.

    A file is trusted if it and its folder belong to this user or root, and neither group nor
    others may write to it. Only the given paths are looked at: give the folders too.
    """
    for path in paths:
        try:
            info = path.lstat()
        except OSError as error:
            return f"{path}: {error.strerror}"
        if stat.S_ISLNK(info.st_mode):
            return f"{path} is a symbolic link"
        if info.st_uid not in (os.geteuid(), 0):
            return f"{path} belongs to another user (uid {info.st_uid})"
        if info.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return f"{path} can be written by others (mode {stat.S_IMODE(info.st_mode):o})"
    return None


def slugs(names: Iterable[str]) -> dict[str, str]:
    """A readable, unique and harmless file name for each step name."""
    taken: set[str] = set()
    result: dict[str, str] = {}
    for name in names:
        slug = slug_of(name)
        if slug != name or slug.casefold() in taken:
            slug = f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        taken.add(slug.casefold())
        result[name] = slug
    return result


def slug_of(text: str) -> str:
    """`text` with only letters, digits and ``._=,+-``, not too long, not hidden."""
    slug = re.sub(r"[^\w.=,+-]+", "_", text).lstrip(".-") or "step"
    return slug.encode()[:_SLUG_BYTES].decode(errors="ignore")
