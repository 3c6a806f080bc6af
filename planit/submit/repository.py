"""The git repository of a project: which files it has, and of which commit they are."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.errors import PlanError

_WAIT_S = 30


def repository_of(folder: Path) -> Path | None:
    """The root of the git repository that a folder is in."""
    for above in (folder, *folder.parents):
        if (above / ".git").exists():
            return above
    return None


@dataclass(frozen=True)
class Repository:
    """What git says of a repository.

    Attributes:
        root: its root.
        commit: of HEAD; None before the first one.
        changed: tracked files that differ from it.
        untracked, ignored: files and whole folders (ending with a slash) that git does not know,
            and those that it is told to ignore.
    """

    root: Path
    commit: str | None
    changed: Sequence[str]
    untracked: Sequence[str]
    ignored: Sequence[str]

    @classmethod
    def at(cls, root: Path) -> Repository | None:
        """The repository; None if git is missing or refuses."""
        text = _git(root, "status", "--porcelain=v2", "--branch", "-z", "--ignored", "--no-renames")
        if text is None:
            return None
        commit: str | None = None
        changed, untracked, ignored = [], [], []
        for line in text.split("\0"):
            kind, _, rest = line.partition(" ")
            if line.startswith("# branch.oid "):
                commit = line.split()[2]
            elif kind == "1":
                changed.append(rest.split(" ", 7)[-1])
            elif kind == "u":
                changed.append(rest.split(" ", 9)[-1])
            elif kind == "?":
                untracked.append(rest)
            elif kind == "!":
                ignored.append(rest)
        return cls(root, None if commit == "(initial)" else commit, changed, untracked, ignored)

    def summary(self, others: Iterable[str] = ()) -> dict[str, Any] | None:
        """What a run's manifest says of it; `others` are files that git does not know."""
        if self.commit is None:
            return None
        changed = sorted([*self.changed, *others])
        return {"commit": self.commit, "dirty": bool(self.changed), "changed": changed}

    def tracked(self) -> list[str]:
        """The tracked files, also those that are no longer there; a submodule is one of them."""
        return _names(_git(self.root, "ls-files", "-z", "--cached"))

    def others(self, without: Iterable[Path]) -> list[str]:
        """The files that git neither tracks nor ignores, but for those below some folders."""
        if not self.untracked:
            return []
        words = ["ls-files", "-z", "--others", "--exclude-standard"]
        words += [f"--exclude=/{folder.relative_to(self.root)}/" for folder in without]
        return _names(_git(self.root, *words))

    def diff(self) -> str | None:
        """What differs from the commit, as git shows it; None if nothing does."""
        if not self.changed or self.commit is None:
            return None
        return _git(self.root, "diff", "--no-color", "--no-ext-diff", "HEAD")


def _names(text: str | None) -> list[str]:
    return list(dict.fromkeys(filter(None, (text or "").split("\0"))))


def _git(root: Path, *words: str) -> str | None:
    """What git prints, or None if there is no git, or it refuses."""
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *words],
            capture_output=True,
            timeout=_WAIT_S,
            check=False,
            env=environment,
        )
    except OSError:
        return None
    except subprocess.TimeoutExpired:
        raise PlanError(
            f"git took more than {_WAIT_S} s to list the files of {root}",
            hint="freeze=code freezes Python sources only, freeze=off nothing",
        ) from None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None
