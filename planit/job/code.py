"""The code of the plan's functions as it was at submission.

A job may start days after it was queued, and by then its author has edited half the project. So
the sources of the project's own modules (not of installed packages), those that a step imports late
too, are kept in one archive in the run, and the worker imports them from there, also what has been
removed meanwhile. ``__file__`` still names the original place so that data beside the code is
found. Runs of the same code share the archive by hard links.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import site
import stat
import sys
import sysconfig
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from planit.record.files import make_dir, write_new
from planit.record.run_dir import CODE
from planit.record.trust import TrustedDir

_MAX_FILES = 2_000
_MAX_ENTRIES = 50_000  # a package that holds its data must not cost minutes to walk
_MAX_TRIED = 5  # earlier runs that are asked for the same archive
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SKIPPED = frozenset({"__pycache__", ".git", "node_modules", ".venv", "venv"})
_NO_TIME = (1980, 1, 1, 0, 0, 0)  # so that the same sources make the same archive


def take_snapshot(folder: Path, modules: Iterable[str]) -> str | None:
    """Keep the sources of the project: of the packages of `modules`, and what can be imported late.

    Args:
        folder: where the archive goes; it is made if there is something to keep.
        modules: the names of modules that the steps' functions are in.

    Returns:
        The name of the archive; None if nothing of the project can be imported.
    """
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in _project_sources(modules):
            with suppress(OSError, ValueError):  # a name that is not text
                entry = zipfile.ZipInfo(str(path).lstrip("/"), _NO_TIME)
                archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
        if not archive.namelist():
            return None
    data = content.getvalue()
    name = f"{hashlib.sha256(data).hexdigest()[:20]}.zip"
    make_dir(folder)
    if not (folder / name).exists() and not _linked(folder / name, data):
        write_new(folder / name, data)
    return name


def _linked(path: Path, data: bytes) -> bool:
    """Link an archive to that of an earlier run of the plan, if one has the same, privately."""
    run = path.parents[1]
    with suppress(OSError):
        runs = sorted((name for name in os.listdir(run.parent) if name != run.name), reverse=True)
        for other in runs[:_MAX_TRIED]:
            with suppress(OSError):
                os.link(run.parent / other / CODE / path.name, path, follow_symlinks=False)
                info = path.lstat()
                is_mine = stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid()
                private = stat.S_IMODE(info.st_mode) == stat.S_IRUSR | stat.S_IWUSR
                if is_mine and private and path.read_bytes() == data:
                    return True
                path.unlink()
    return False


def _project_sources(modules: Iterable[str]) -> list[Path]:
    found: dict[Path, None] = {}
    tops = {name.partition(".")[0] for name in modules if name != "__main__"}
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    known = [sys.modules.get(name) for name in [*sorted(tops), *sorted(loaded - tops)]]
    listed = (path for module in known if module is not None for path in _files_of(module))
    for path in (*listed, *_importable_files()):
        found[path] = None
        if len(found) >= _MAX_FILES:
            break
    return list(found)


def _importable_files() -> Iterator[Path]:
    """The sources that could be imported late: of the folders on sys.path that the user edits."""
    for entry in dict.fromkeys(os.path.abspath(entry or ".") for entry in sys.path):
        folder = Path(entry)
        if not folder.is_dir() or not os.access(folder, os.W_OK) or not _is_project(folder):
            continue
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if path.suffix == ".py":
                    yield path
                elif path.name.isidentifier() and (path / "__init__.py").is_file():
                    yield from _sources_below(path)


def _files_of(module: ModuleType) -> list[Path]:
    """The sources of a top-level module of the project; none for installed ones."""
    file = getattr(module, "__file__", None)
    if file and not file.endswith(("__init__.py", ".py")):
        return []
    if file and not file.endswith("__init__.py"):
        path = Path(file)
        return [path] if _is_project(path) else []
    folders = [Path(entry) for entry in getattr(module, "__path__", [])]
    return [path for folder in folders for path in _sources_below(folder)]


def _sources_below(folder: Path) -> list[Path]:
    if not _is_project(folder):
        return []
    files: list[Path] = []
    entries = 0
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in _SKIPPED)
        files += [Path(place, name) for name in sorted(names) if name.endswith(".py")]
        entries += len(names) + len(below)
        if len(files) >= _MAX_FILES or entries >= _MAX_ENTRIES:
            break
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


def install_snapshot(run: TrustedDir, archive: str | None) -> None:
    """Let imports read the sources in an archive of a run, whatever is at their places now.

    Raises:
        RunError: another user could have written it.
    """
    finders = (finder for finder in sys.meta_path if isinstance(finder, _SnapshotFinder))
    if archive is None or any(finder.name == archive for finder in finders):
        return  # a fork of the local engine has it already
    content = run.read_bytes(f"{CODE}/{archive}")
    sys.meta_path.insert(0, _SnapshotFinder(archive, zipfile.ZipFile(io.BytesIO(content))))


class _SnapshotFinder(importlib.abc.MetaPathFinder):
    """Finds what is in the snapshot before what is on disk, in the order of the search path."""

    def __init__(self, name: str, archive: zipfile.ZipFile) -> None:
        self.name = name
        self._archive = archive
        self._names = frozenset(f"/{name}" for name in archive.namelist())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        tail = fullname.rpartition(".")[2]
        for entry in sys.path if path is None else path:
            base = f"{os.path.abspath(entry)}/{tail}"
            for origin in (f"{base}/__init__.py", f"{base}.py"):
                if origin in self._names:
                    return self._spec(fullname, origin)
            found = importlib.machinery.PathFinder.find_spec(fullname, [entry])
            if found is not None and found.loader is not None:
                return found
        return importlib.machinery.PathFinder.find_spec(fullname, path, target)

    def _spec(self, fullname: str, origin: str) -> importlib.machinery.ModuleSpec | None:
        loader = _SnapshotLoader(fullname, origin, self._archive)
        folders = [str(Path(origin).parent)] if origin.endswith("/__init__.py") else None
        return importlib.util.spec_from_file_location(
            fullname, origin, loader=loader, submodule_search_locations=folders
        )


class _SnapshotLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, archive: zipfile.ZipFile) -> None:
        super().__init__(fullname, path)
        self._archive = archive

    def get_data(self, path: Any) -> bytes:
        """The source as it was; other files are read where they are."""
        name = str(path).lstrip("/")
        if name in self._archive.NameToInfo:
            return self._archive.read(name)
        return super().get_data(path)

    def get_code(self, fullname: str) -> Any:
        """Compile the source under the original's name; no byte code is read or written."""
        return self.source_to_code(self.get_data(self.path), self.path)
