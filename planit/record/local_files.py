"""What the engine on this machine leaves in ``local/``: events, its own output, requests to it.

::

    <n>.jsonl    what the engine of submission n says of its steps
    <n>.log      what it printed
    requests/    what other processes ask of the engines: a file each, until it is done
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planit.record.files import make_dir, read_json, write_json

_FOLDER = "local"


def events(run_path: Path, submission: int) -> Path:
    """Where the engine of a submission writes its events."""
    return run_path / _FOLDER / f"{submission}.jsonl"


def log(run_path: Path, submission: int) -> Path:
    """Where the output of the engine goes."""
    return run_path / _FOLDER / f"{submission}.log"


def with_engine(run_path: Path) -> list[int]:
    """The submissions whose engine was started, or kept from starting, in order."""
    paths = (run_path / _FOLDER).glob("*.jsonl")
    return sorted(int(path.stem) for path in paths if path.stem.isdecimal())


def make(run_path: Path) -> None:
    """Make the folder, if need be."""
    make_dir(_requests(run_path))


def ask(run_path: Path, submission: int, request: Mapping[str, Any]) -> Path:
    """Leave a request for an engine: a file that it removes when it has done it."""
    name = f"{submission}-{time.time_ns():020}-{secrets.token_hex(2)}.json"
    path = make_dir(_requests(run_path)) / name
    write_json(path, request)
    return path


def asked(run_path: Path, submission: int) -> list[tuple[Path, Mapping[str, Any]]]:
    """The requests that wait for an engine, the oldest first; an unreadable one is empty."""
    paths = sorted(_requests(run_path).glob(f"{submission}-*.json"))
    contents = [(path, read_json(path)) for path in paths]
    return [(path, found if isinstance(found, dict) else {}) for path, found in contents]


def _requests(run_path: Path) -> Path:
    return run_path / _FOLDER / "requests"
