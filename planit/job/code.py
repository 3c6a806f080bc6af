"""The code of the plan's functions as it was at submission.

A job may start days after it was queued, and by then its author has edited half the project. So
the sources of the project's own modules (not of installed packages) are copied into the run, and
the worker imports them from there, while ``__file__`` still names the original place so that data
beside the code is found.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from planit.record.files import make_dir, write_new
from planit.record.run_dir import CODE
from planit.record.trust import TrustedDir

_MOST_FILES = 2_000
_MOST_ENTRIES = 50_000  # a package that holds its data must not cost minutes to walk
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SKIPPED = frozenset({"__pycache__", ".git", "node_modules", ".venv", "venv"})


def take_snapshot(folder: Path, modules: Iterable[str]) -> dict[str, str]:
    """Copy the sources of the project's packages that `modules` belong to.

    Returns what the worker needs to find them: original path -> file name below `folder`.
    """
    sources: dict[str, str] = {}
    for path in _project_sources(modules):
        try:
            content = path.read_bytes()
        except OSError:
            continue
        name = hashlib.sha256(content).hexdigest()[:20] + ".py"
        if not sources:
            make_dir(folder)
        if not (folder / name).exists():
            write_new(folder / name, content)
        sources[str(path)] = name
    return sources


def _project_sources(modules: Iterable[str]) -> list[Path]:
    found: dict[Path, None] = {}
    tops = {name.partition(".")[0] for name in modules if name != "__main__"}
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    for name in [*sorted(tops), *sorted(loaded - tops)]:
        module = sys.modules.get(name)
        for path in _files_of(module) if module is not None else ():
            found[path] = None
            if len(found) >= _MOST_FILES:
                return list(found)
    return list(found)


def _files_of(module: ModuleType) -> list[Path]:
    """The sources of a top-level module of the project; none for installed ones."""
    file = getattr(module, "__file__", None)
    if file and not file.endswith(("__init__.py", ".py")):
        return []
    if file and not file.endswith("__init__.py"):
        path = Path(file)
        return [path] if _is_project(path) else []
    folders = [Path(entry) for entry in getattr(module, "__path__", [])]
    files: list[Path] = []
    looked_at = 0
    for folder in folders:
        if not _is_project(folder):
            continue
        for place, below, names in os.walk(folder):
            below[:] = sorted(name for name in below if name not in _SKIPPED)
            files += [Path(place, name) for name in sorted(names) if name.endswith(".py")]
            looked_at += len(names) + len(below)
            if len(files) >= _MOST_FILES or looked_at >= _MOST_ENTRIES:
                return files
    return files


def _is_project(path: Path) -> bool:
    text = os.path.realpath(path) + os.sep
    if not path.exists() or not _INSTALLED.isdisjoint(Path(text).parts):
        return False
    return not any(text.startswith(prefix) for prefix in _installed_prefixes())


@cache
def _installed_prefixes() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    places = {paths[key] for key in ("stdlib", "platstdlib", "purelib", "platlib")}
    places |= {*site.getsitepackages(), site.getusersitepackages()}
    places.add(str(Path(__file__).resolve().parents[1]))  # planit itself
    return tuple(os.path.realpath(place) + os.sep for place in places)


@contextmanager
def importable(entries: Iterable[str]) -> Iterator[None]:
    """Have `entries` on sys.path, behind what is there, as a job of the run has them."""
    known = set(sys.path)
    added = [entry for entry in entries if entry not in known]
    sys.path += added
    try:
        yield
    finally:
        for entry in added:
            sys.path.remove(entry)


def install_snapshot(run: TrustedDir, sources: Mapping[str, str]) -> None:
    """Let imports of the original paths read the copies in a run.

    Raises:
        RunError: another user could have written them.
    """
    if sources:
        sys.meta_path.insert(0, _SnapshotFinder(run.subdir(CODE), sources))


class _SnapshotFinder(importlib.abc.MetaPathFinder):
    """Finds a module as usual, and swaps its loader if its source is in the snapshot."""

    def __init__(self, folder: TrustedDir, sources: Mapping[str, str]) -> None:
        self._folder = folder
        self._sources = sources

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.origin is None:
            return spec
        copy = self._sources.get(spec.origin)
        if copy is not None:
            spec.loader = _SnapshotLoader(fullname, spec.origin, self._folder, copy)
        return spec


class _SnapshotLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, folder: TrustedDir, copy: str) -> None:
        super().__init__(fullname, path)
        self._folder = folder
        self._copy = copy

    def get_code(self, fullname: str) -> Any:
        """Compile the copy under the original's name; no byte code is read or written."""
        return self.source_to_code(self._folder.read_bytes(self._copy), self.path)
