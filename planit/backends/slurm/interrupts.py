"""Ctrl-C during a call that must not be cut in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Let the first Ctrl-C act when the block has ended, and a second one at once.

    sbatch may have handed its job over already: ended in the middle, it could not tell the id.
    Only the main thread gets signals; elsewhere nothing changes.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    waiting: list[FrameType | None] = []

    def note(number: int, frame: FrameType | None) -> None:
        if waiting:
            waiting.clear()
            before(number, frame)
        else:
            waiting.append(frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting:
            before(signal.SIGINT, waiting[0])
