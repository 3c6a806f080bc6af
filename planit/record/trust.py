"""Opens a run directory so that nothing is read from it that another user could have written.

The way down from ``/`` is walked folder by folder; each is opened without following links and
judged by its descriptor. Everything below the run is opened relative to the run's descriptor in the
same way, and what was judged is what is read: renaming a folder meanwhile changes nothing.

A folder on the way must belong to this user or root, and nobody else may write to it unless it has
the sticky bit (as /tmp has). The user's own private group may. Where a project's folder belongs to
somebody else or can be written by its group, ``PLANIT_TRUST_GROUP=1`` accepts that on purpose.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from planit.errors import RunError
from planit.record.submissions import FOLDER as SUBMISSIONS

TRUST_GROUP = "PLANIT_TRUST_GROUP"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A folder on the way may be one that this user can pass through but not list.
_PASSED = _FOLDER | getattr(os, "O_PATH", os.O_RDONLY)
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class TrustedDir:
    """A folder of this user's that nobody else can write to, held open.

    Attributes:
        fd: its descriptor.
        path: where it was when it was opened, without links; for messages.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self.fd = fd
        self.path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.fd)

    @property
    def proc(self) -> Path:
        """A path to this very folder, whatever its name is now, for code that only takes paths."""
        here = Path(f"/proc/self/fd/{self.fd}")
        return here if here.exists() else self.path

    def subdir(self, relative: str) -> TrustedDir:
        """A folder below. Raises RunError if there is none, or it is not trusted."""
        fd, here = os.dup(self.fd), self.path
        try:
            for name in _names(relative):
                here /= name
                above, fd = fd, _enter(fd, name, here, os.O_RDONLY | _FOLDER)
                os.close(above)
                _refuse(_why_not_mine(os.fstat(fd), here))
        except BaseException:
            os.close(fd)
            raise
        return TrustedDir(fd, here)

    def open(self, relative: str) -> BinaryIO:
        """A file below, to read. Raises RunError if there is none, or it is not trusted."""
        *folders, name = _names(relative)
        with self.subdir("/".join(folders)) as folder:
            here = folder.path / name
            fd = _enter(folder.fd, name, here, _FILE)
        try:
            info = os.fstat(fd)
            _refuse(None if stat.S_ISREG(info.st_mode) else f"{here} is not a regular file")
            _refuse(_why_not_mine(info, here))
            return os.fdopen(fd, "rb")
        except BaseException:
            os.close(fd)
            raise

    def read_bytes(self, relative: str) -> bytes:
        """The content of a file below. Raises RunError as `open` does."""
        with self.open(relative) as file:
            return file.read()

    def holds(self, name: str) -> bool:
        """Whether there is something of this name in it, trusted or not."""
        try:
            os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def check_entries(self) -> None:
        """Raise RunError for a file or folder in it that another user could have written."""
        for name in os.listdir(self.fd):
            with suppress(FileNotFoundError):  # a lock that is gone by now
                info = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
                _refuse(_why_not_mine(info, self.path / name))


def opened(path: Path) -> TrustedDir:
    """A run directory, opened safely.

    Raises:
        RunError: another user could have written it, or put it there; it says what and why.
    """
    resolved = Path(os.path.realpath(path))
    way = _walked(resolved.parent)
    try:
        fd = _enter(way, resolved.name, resolved, os.O_RDONLY | _FOLDER)
    finally:
        os.close(way)
    try:
        _refuse(_why_not_mine(os.fstat(fd), resolved))
    except BaseException:
        os.close(fd)
        raise
    return TrustedDir(fd, resolved)


def refuse_untrusted(run_path: Path) -> Path:
    """Check a run before anything of it is run, written or unpickled; its path without links.

    The files of its steps are not looked at: whoever reads one opens it through the descriptor.

    Raises:
        RunError: another user could have written what the run directory says.
    """
    with opened(run_path) as run:
        run.check_entries()
        if run.holds(SUBMISSIONS):
            with run.subdir(SUBMISSIONS) as submissions:
                submissions.check_entries()
        return run.path


def why_untrusted(run_path: Path) -> str | None:
    """The reason a run is not trusted, or None if it is."""
    try:
        refuse_untrusted(run_path)
    except RunError as refusal:
        return refusal.message
    return None


def refuse_place(folder: Path) -> None:
    """Raise RunError if no run below `folder` could be trusted; it need not exist yet."""
    folder = Path(os.path.realpath(folder))
    while not folder.exists():
        folder = folder.parent
    os.close(_walked(folder))


def accepts_group() -> bool:
    """Whether the user trusts the owners and groups of the folders above the runs."""
    return os.environ.get(TRUST_GROUP) == "1"


def _names(relative: str) -> Iterator[str]:
    for name in relative.split("/") if relative else ():
        if name in ("", ".", ".."):
            raise RunError(f"{relative!r} is not a path below a run directory")
        yield name


def _enter(above: int, name: str, path: Path, flags: int) -> int:
    try:
        return os.open(name, flags, dir_fd=above)
    except OSError as error:
        with suppress(OSError):
            if stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode):
                raise RunError(f"{path} is a symbolic link") from None
        raise RunError(f"{path}: {error.strerror}") from None


def _refuse(reason: str | None) -> None:
    if reason is not None:
        raise RunError(
            reason, hint="planit neither runs nor changes what others could have written"
        )


def _why_not_mine(info: os.stat_result, path: Path) -> str | None:
    if stat.S_ISLNK(info.st_mode):
        return f"{path} is a symbolic link"
    if info.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user (uid {info.st_uid})"
    if info.st_mode & _OTHERS_WRITE:
        return f"{path} can be written by others (mode {stat.S_IMODE(info.st_mode):o})"
    return None


def _walked(folder: Path) -> int:
    """A descriptor of `folder` (absolute, without links), every folder down to it checked."""
    here = Path("/")
    fd = os.open(here, _PASSED)
    try:
        _check_on_the_way(fd, here)
        for name in folder.parts[1:]:
            here /= name
            above, fd = fd, _enter(fd, name, here, _PASSED)
            os.close(above)
            _check_on_the_way(fd, here)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check_on_the_way(fd: int, path: Path) -> None:
    info = os.fstat(fd)
    mode = info.st_mode
    if not (info.st_uid in (os.geteuid(), 0) or accepts_group() or _is_unmapped_root(info)):
        raise _unsafe(path, info, "belongs to another user", f"{TRUST_GROUP}=1 accepts it")
    if not mode & _OTHERS_WRITE or mode & stat.S_ISVTX:
        return  # with the sticky bit, others can add to it but not rename what is this user's
    if mode & stat.S_IWOTH:
        raise _unsafe(path, info, "can be written by everybody", f"chmod o-w {path}")
    if not accepts_group() and not _is_private_group(fd, info.st_gid):
        ways_out = f"chmod g-w {path}, or {TRUST_GROUP}=1 if you trust that group"
        raise _unsafe(path, info, "can be written by its group", ways_out)


def _unsafe(path: Path, info: os.stat_result, why: str, ways_out: str) -> RunError:
    mode = f"mode {stat.S_IMODE(info.st_mode):04o}, {_owner(info)}"
    return RunError(
        f"runs below {path} are not safe from other users: it {why} ({mode})",
        hint=f"keep runs elsewhere (runs_dir, PLANIT_RUNS_DIR); or {ways_out}",
    )


def _owner(info: os.stat_result) -> str:
    user, group = str(info.st_uid), str(info.st_gid)
    with suppress(KeyError):
        user = pwd.getpwuid(info.st_uid).pw_name
    with suppress(KeyError):
        group = grp.getgrgid(info.st_gid).gr_name
    return f"owner {user}:{group}"


def _is_private_group(fd: int, gid: int) -> bool:
    """Whether this user is the only one whom the group's right to write concerns.

    Many systems give each user a group of the user's own name. With an access control list the
    group's bits in the mode stand for everybody named in the list, so then they say too little.
    """
    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    private = gid == user.pw_gid and group.gr_name == user.pw_name
    return private and set(group.gr_mem) <= {user.pw_name} and not _has_acl(fd)


def _has_acl(fd: int) -> bool:
    try:
        os.getxattr(f"/proc/self/fd/{fd}", "system.posix_acl_access")
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
    return True


def _is_unmapped_root(info: os.stat_result) -> bool:
    """Whether the owner may be the machine's root, seen from a user namespace without it.

    The same uid stands for every user who is not in the namespace. That will do for the folders on
    the way, such as ``/``, but never for what is read.
    """
    with suppress(OSError, ValueError):
        lines = Path("/proc/self/uid_map").read_text().splitlines()
        if lines and all(line.split()[1] != "0" for line in lines):
            return info.st_uid == int(Path("/proc/sys/kernel/overflowuid").read_text())
    return False
