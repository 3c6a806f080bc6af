"""What is said of a step that is tried again."""

from __future__ import annotations

from datetime import timedelta

from planit.nodes.retry import Cause, memory_text
from planit.nodes.walltime import clock
from planit.record.markers import Retry
from planit.status.states import printable


def retry_text(retry: Retry) -> str:
    """``attempt 2 of 3, after out of memory, 64 GB``."""
    cause = next((one for one in Cause if one == retry.cause), None)
    words = printable(retry.cause) if cause is None else cause.words
    parts = [f"attempt {retry.number} of {retry.total}", f"after {words}"]
    if cause is Cause.OOM and retry.memory_mb is not None:
        parts.append(memory_text(retry.memory_mb))
    if cause is Cause.TIMEOUT and retry.minutes is not None:
        parts.append(clock(timedelta(minutes=retry.minutes)))
    return ", ".join(parts)
