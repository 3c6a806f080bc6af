"""A loopback file system in user space that waits before each operation.

python -m benchmarks._loopback REAL MOUNTED COUNT SECONDS
"""

from __future__ import annotations

import errno
import functools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from mfusepy import FUSE, FuseOSError, Operations


class Loopback(Operations):  # type: ignore[misc, unused-ignore]
    """Each operation does what the same call on the real file does."""

    use_ns = True

    def __init__(self, real: str) -> None:
        self._real = real

    def _at(self, path: str) -> str:
        return f"{self._real}{path}"

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        info = os.lstat(self._at(path))
        names = ("mode", "ino", "nlink", "uid", "gid", "size", "atime", "mtime", "ctime")
        return {f"st_{n}": getattr(info, f"st_{n}") for n in names}

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._at(path))]

    def access(self, path: str, mode: int) -> int:
        if not os.access(self._at(path), mode):
            raise FuseOSError(errno.EACCES)
        return 0

    def open(self, path: str, flags: int) -> int:
        return os.open(self._at(path), flags)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._at(path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._at(path), length)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if times:
            os.utime(self._at(path), ns=times, follow_symlinks=False)
        else:
            os.utime(self._at(path), follow_symlinks=False)
        return 0

    def readlink(self, path: str) -> str:
        return os.readlink(self._at(path))

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self._at(target))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._at(source), self._at(target))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._at(old), self._at(new))
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._at(path))
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._at(path))
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._at(path), mode)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._at(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.lchown(self._at(path), uid, gid)
        return 0


def slowed(operation: Callable[..., Any], counter: int, seconds: float) -> Callable[..., Any]:
    """An operation that is counted and waits before it does anything."""

    @functools.wraps(operation)
    def waits(*args: Any) -> Any:
        os.write(counter, b".")
        time.sleep(seconds)
        return operation(*args)

    return waits


def main() -> None:
    real, mounted, count, seconds = sys.argv[1:]
    counter = os.open(count, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.umask(0)
    for name, operation in list(vars(Loopback).items()):
        if callable(operation) and not name.startswith("_"):
            setattr(Loopback, name, slowed(operation, counter, float(seconds)))
    FUSE(Loopback(real), mounted, foreground=True, nothreads=False)


if __name__ == "__main__":
    main()
