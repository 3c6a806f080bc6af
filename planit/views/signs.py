"""The signs of trees, and plain characters for streams whose encoding lacks them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_PLAIN = str.maketrans(
    {"└": "`", "├": "|", "│": "|", "─": "-", "▼": "v", "▣": "#", "⇉": "=", "●": "*", "…": "..."}
)


def in_ascii(text: str) -> str:
    """The text with plain characters for signs; any other character becomes its escape code."""
    return text.translate(_PLAIN).encode("ascii", "backslashreplace").decode()


def for_streams(text: str, streams: Iterable[Any]) -> str:
    """The text as all of these streams can show it: unchanged, or with plain characters.

    Args:
        text: to be written.
        streams: text streams; one without an encoding takes everything.
    """
    for stream in streams:
        encoding = getattr(stream, "encoding", None)
        if isinstance(encoding, str) and not _has(encoding, text):
            plain = text.translate(_PLAIN)
            text = plain if _has(encoding, plain) else in_ascii(plain)
    return text


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True
