"""Standard output and error as they are found: closed, full, or in another encoding than UTF-8."""

from __future__ import annotations

import codecs
import os
import sys
from io import TextIOWrapper

from planit.errors import ConfigError
from planit.views.signs import in_ascii

_ERRORS = "planit.plain"  # of an encoding: what it lacks is written in plain characters


def prepare() -> None:
    """Let whatever is printed be written, and no file be taken for a closed stream.

    Raises:
        ConfigError: standard output is closed.
    """
    codecs.register_error(_ERRORS, _in_plain_characters)
    is_closed = sys.stdout is None
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(opened)
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)
    if is_closed:
        raise ConfigError("standard output is closed", hint="planit ... >/dev/null discards it")


def give_up_stdout() -> None:
    """Drop what cannot be written, which Python would try once more when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _nowhere() -> TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (a name, not a path)


def _in_plain_characters(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return in_ascii(error.object[error.start : error.end]), error.end
