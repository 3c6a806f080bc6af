"""``code/``: the project's files as they were when they were submitted.

::

    code/<name>/<folder>/...    the frozen files of one of the project's folders
    code/<name>.json            which those are, of which commit, and what had changed since that
    code/<name>.diff            git's diff to the commit, if there is one

The name follows from the content, so submissions of the same code share it. The same files of
several runs are one file on disk, by hard links. They are read-only, and as old as the originals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json

FOLDER = "code"


@dataclass(frozen=True)
class FrozenFolder:
    """One of the project's folders.

    Attributes:
        root: where it was.
        place: its folder below the run.
        whole: whether all of its files are frozen, or only the Python sources, which then keep
            their old names.
    """

    root: str
    place: str
    whole: bool


@dataclass(frozen=True)
class FrozenFile:
    """A frozen file.

    Attributes:
        digest: SHA-256 of its content; of where it points to, for a symbolic link.
        kind: "x" if it can be executed, "l" for a symbolic link, else "".
        size: in bytes.
        changed_ns: when the frozen file was changed, by its file system: as the file that was
            copied first.
        stamp: of the original: when it and its inode were changed (ns), and the inode's number.
    """

    digest: str
    kind: str
    size: int
    changed_ns: int
    stamp: tuple[int, int, int]


@dataclass(frozen=True)
class FrozenCode:
    """What a submission froze.

    Attributes:
        name: of its folder.
        mode: "tree" or "code", as it was asked for.
        folders: the project's folders.
        files: of each folder, by their paths below it.
        git: commit, and what of it had changed; None outside of git.
        written: when, in seconds since the epoch.
    """

    name: str
    mode: str
    folders: Sequence[FrozenFolder]
    files: Sequence[Mapping[str, FrozenFile]] = ()
    git: Mapping[str, Any] | None = None
    written: float = 0.0

    def to_json(self) -> str:
        """The text of its file."""
        content = {
            **vars(self),
            "folders": [vars(folder) for folder in self.folders],
            "files": [
                {path: list(vars(one).values()) for path, one in files.items()}
                for files in self.files
            ],
        }
        return json.dumps(content, separators=(",", ":"))


def in_mb(size: int) -> str:
    """A size for people, in MB of 10^6 bytes."""
    return f"{size / 10**6:.1f} MB"


def index_path(run_path: Path, name: str) -> Path:
    """The file that says what is frozen under a name."""
    return run_path / FOLDER / f"{name}.json"


def diff_path(run_path: Path, name: str) -> Path:
    """The file with git's diff."""
    return run_path / FOLDER / f"{name}.diff"


def place_of(name: str, folder: str = "") -> str:
    """Where the files of one of the project's folders are, below the run."""
    return f"{FOLDER}/{name}/{folder}".rstrip("/")


def read(run_path: Path, name: str) -> FrozenCode | None:
    """What is frozen under a name; None if that cannot be read."""
    content: Any = read_json(index_path(run_path, name))
    try:
        return FrozenCode(
            name=name,
            mode=str(content["mode"]),
            folders=[
                FrozenFolder(str(one["root"]), str(one["place"]), bool(one["whole"]))
                for one in content["folders"]
            ],
            files=[
                {path: _file(*values) for path, values in files.items()}
                for files in content["files"]
            ],
            git=None if content["git"] is None else _git(content["git"]),
            written=float(content["written"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _file(digest: Any, kind: Any, size: Any, changed_ns: Any, stamp: Any) -> FrozenFile:
    numbers = [size, changed_ns, *stamp]
    if not all(type(one) is int for one in numbers) or not isinstance(digest + kind, str):
        raise TypeError("not a frozen file")
    return FrozenFile(digest, kind, size, changed_ns, (stamp[0], stamp[1], stamp[2]))


def _git(content: Any) -> Mapping[str, Any]:
    changed = fields.texts(content, "changed")
    return {"commit": fields.text(content, "commit"), "dirty": bool(changed), "changed": changed}


def newest(run_path: Path) -> FrozenCode | None:
    """What the run froze last; None if nothing can be read."""
    found: list[tuple[int, str]] = []
    with suppress(OSError):
        indices = (run_path / FOLDER).glob("*.json")
        found = sorted((path.stat().st_mtime_ns, path.stem) for path in indices)
    return read(run_path, found[-1][1]) if found else None


@dataclass(frozen=True)
class CodeUsed:
    """What the jobs of a submission run, and how that was asked for.

    Attributes:
        mode: "tree", "code" or "off".
        limit_mb: the most that was to be frozen, in MB of 10^6 bytes.
        name: under which it is frozen; None if nothing is.
        folders: the project's folders.
        names: what is at the top of the first of them, if all of its files are frozen.
    """

    mode: str = "off"
    limit_mb: float = 100
    name: str | None = None
    folders: Sequence[FrozenFolder] = ()
    names: Sequence[str] = ()

    @classmethod
    def from_json(cls, content: Any) -> CodeUsed:
        """Read it; "off" if that cannot be read."""
        folders = content.get("folders") if isinstance(content, Mapping) else None
        if not isinstance(folders, list):
            return cls()
        return cls(
            mode=fields.text(content, "mode") or "off",
            limit_mb=fields.number(content, "limit_mb") or 100,
            name=fields.text(content, "name"),
            folders=[
                FrozenFolder(str(one.get("root")), str(one.get("place")), one.get("whole") is True)
                for one in folders
                if isinstance(one, Mapping)
            ],
            names=fields.texts(content, "names"),
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {**vars(self), "folders": [vars(folder) for folder in self.folders]}
