"""The journal of a run: one JSON object per line, only ever appended, flushed to disk.

What is about to happen is written before it happens, and its outcome after it. A process that
dies in between leaves an intent without an outcome, which `status` reports and `resume` settles.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.errors import RunError
from planit.record import fields
from planit.record.files import open_file, told_of, write_all


@dataclass(frozen=True)
class Journal:
    """Appends to and reads ``journal.jsonl``."""

    path: Path

    def append(self, event: str, **fields: Any) -> None:
        """Write one event in a single write, and wait until it is on disk.

        Raises:
            StorageError: the file system is full, read-only or broken.
        """
        record = {"event": event, "at": round(time.time(), 3), **fields}
        line = json.dumps(record, ensure_ascii=False, default=repr) + "\n"
        handle = open_file(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            if self._is_torn():
                line = "\n" + line  # what a dying process left half-written stays a line of its own
            with told_of(self.path):
                write_all(handle, line.encode())
                os.fsync(handle)
        finally:
            os.close(handle)

    def events(self) -> Iterator[dict[str, Any]]:
        """All whole events; torn or foreign lines are passed over (see `problems`).

        Raises:
            RunError: there is a journal, but it cannot be read.
        """
        for _, event in self._lines():
            if event is not None:
                yield event

    def problems(self) -> list[str]:
        """What is wrong with the file, a line each."""
        return [
            f"{self.path.name}, line {number} is not a whole event"
            for number, event in self._lines()
            if event is None
        ]

    def _lines(self) -> Iterator[tuple[int, dict[str, Any] | None]]:
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise RunError(f"cannot read {self.path}: {error.strerror}") from None
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                event = fields.parse(line)
            except ValueError:
                event = None
            yield number, event if _is_whole(event) else None

    def _is_torn(self) -> bool:
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False


def _is_whole(event: Any) -> bool:
    """Whether this is an event, with what its kind needs."""
    kind = event.get("event") if isinstance(event, dict) else None
    if not isinstance(kind, str):
        return False
    if "number" in event and fields.whole(event, "number") is None:
        return False
    return kind != "submitted" or _names_a_job(event)


def _names_a_job(event: Mapping[str, Any]) -> bool:
    return fields.whole(event, "stage") is not None and bool(fields.text(event, "job"))
