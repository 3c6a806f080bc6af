"""The calls of a stage's steps, pickled: one file with an index, what calls share stored once.

::

    header    magic, number of calls, number of shared parts, minutes, requeues
    index     where each call and each shared part begins, and where the last one ends
    digests   SHA-256 of each shared part, by which a pickle refers to it
    content   the calls, then the shared parts

Nothing is unpickled here. A step reads its own call and the parts that this one refers to.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from planit.errors import RunError
from planit.record.files import write_new

_MAGIC = b"planit calls 1\n\0"
_HEADER = struct.Struct("<16sQQqq")
_OFFSET = struct.Struct("<Q")
_DIGEST_BYTES = 32


@dataclass(frozen=True)
class Limits:
    """What a step that can save itself may take.

    Attributes:
        minutes: its wall time.
        requeues: how often it may still be requeued because its time was over.
    """

    minutes: int
    requeues: int


@dataclass(frozen=True)
class PickledCalls:
    """The calls of a stage.

    Attributes:
        calls: a pickle each, in the order of the stage's tasks.
        shared: by their SHA-256, the pickles that calls, or each other, refer to.
        limits: of each of the steps.
    """

    calls: Sequence[bytes]
    shared: Mapping[bytes, bytes]
    limits: Limits

    def write(self, path: Path) -> None:
        """Write them to a file that nobody reads yet."""
        write_new(path, self.content())

    def content(self) -> bytes:
        """The file."""
        parts = [*self.calls, *self.shared.values()]
        start = _HEADER.size + _OFFSET.size * (len(parts) + 1) + _DIGEST_BYTES * len(self.shared)
        offsets = list(accumulate((len(part) for part in parts), initial=start))
        limits = (self.limits.minutes, self.limits.requeues)
        head = _HEADER.pack(_MAGIC, len(self.calls), len(self.shared), *limits)
        index = struct.pack(f"<{len(offsets)}Q", *offsets)
        return b"".join([head, index, *self.shared, *parts])


class CallFile:
    """The file of a stage's calls, open to read.

    Args:
        file: the file; whoever opened it closes it.

    Attributes:
        count: how many calls there are.
        limits: of each of the steps.

    Raises:
        RunError: it is damaged, or of another version of planit.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        head = file.read(_HEADER.size)
        if len(head) != _HEADER.size or not head.startswith(_MAGIC):
            raise RunError(f"{file.name} holds no calls of this version of planit")
        _, self.count, self._shared, minutes, requeues = _HEADER.unpack(head)
        self.limits = Limits(minutes, requeues)

    def call(self, index: int) -> bytes:
        """The pickled call of task `index`. Raises RunError if there is none."""
        if not 0 <= index < self.count:
            raise RunError(f"{self._file.name} has no call {index}")
        return self._part(index)

    def shared(self, digest: bytes) -> bytes:
        """A shared part. Raises RunError if there is none."""
        try:
            return self._part(self.count + self._digests().index(digest))
        except ValueError:
            raise RunError(f"{self._file.name} lacks a part that a call refers to") from None

    def all_shared(self) -> dict[bytes, bytes]:
        """Every shared part, by its digest."""
        digests = enumerate(self._digests(), self.count)
        return {digest: self._part(number) for number, digest in digests}

    def _digests(self) -> list[bytes]:
        self._file.seek(_HEADER.size + _OFFSET.size * (self.count + self._shared + 1))
        content = self._read(_DIGEST_BYTES * self._shared)
        return [content[at : at + _DIGEST_BYTES] for at in range(0, len(content), _DIGEST_BYTES)]

    def _part(self, number: int) -> bytes:
        self._file.seek(_HEADER.size + _OFFSET.size * number)
        start, end = struct.unpack("<QQ", self._read(2 * _OFFSET.size))
        self._file.seek(start)
        return self._read(end - start)

    def _read(self, size: int) -> bytes:
        content = self._file.read(size) if size >= 0 else b""
        if len(content) != size:
            raise RunError(f"{self._file.name} is not whole")
        return content


def copied(chosen: Iterable[tuple[CallFile, int]], limits: Limits) -> PickledCalls:
    """Calls of earlier submissions once more, as they were pickled."""
    calls: list[bytes] = []
    shared: dict[bytes, bytes] = {}
    seen: set[int] = set()
    for file, index in chosen:
        calls.append(file.call(index))
        if id(file) not in seen:
            seen.add(id(file))
            shared |= file.all_shared()
    return PickledCalls(calls, shared, limits)
