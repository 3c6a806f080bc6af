"""Python sources of the project: of modules that are loaded, and that could be imported late."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType

MAX_SOURCES = 2_000
MAX_ENTRIES = 50_000  # a package that holds its data must not cost minutes to walk
SKIPPED = frozenset({"__pycache__", ".git", "node_modules", ".venv", "venv"})
_CHECKOUT = Path(__file__).resolve().parents[2]  # planit's own, where it is not installed
_INSTALLED = frozenset({"site-packages", "dist-packages"})


def project_sources(tops: set[str], entries: Sequence[str] = ()) -> Iterator[tuple[Path, Path]]:
    """Sources, each with the folder that it is imported from; of the modules `tops` first.

    `entries` are on sys.path in jobs, and not here.
    """
    loaded = {name.partition(".")[0] for name in list(sys.modules)}
    for name in [*sorted(tops), *sorted(loaded - tops)]:
        module = sys.modules.get(name)
        if module is not None and (name in tops or not _is_beside_planit(module)):
            yield from _files_of(module)
    yield from _importable_files([*sys.path, *entries])


def _importable_files(entries: Iterable[str]) -> Iterator[tuple[Path, Path]]:
    """What could be imported late, of the folders on a sys.path that the user edits."""
    for entry in dict.fromkeys(os.path.abspath(entry or ".") for entry in entries):
        folder = Path(entry)
        if folder.resolve().is_relative_to(_CHECKOUT) or not is_project(folder):
            continue
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            continue
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                if path.suffix == ".py":
                    yield folder, path
                elif path.name.isidentifier() and (path / "__init__.py").is_file():
                    yield from ((folder, source) for source in _sources_below(path))


def _is_beside_planit(module: ModuleType) -> bool:
    """Whether it is part of a checkout of planit, such as its tests."""
    file = getattr(module, "__file__", None)
    places = [file] if file else list(getattr(module, "__path__", []))
    return any(Path(place).resolve().is_relative_to(_CHECKOUT) for place in places)


def _files_of(module: ModuleType) -> Iterator[tuple[Path, Path]]:
    """The sources of a top-level module of the project; none for installed ones."""
    file = getattr(module, "__file__", None)
    if file and not file.endswith(("__init__.py", ".py")):
        return
    if file and not file.endswith("__init__.py"):
        path = Path(os.path.abspath(file))
        if is_project(path):
            yield path.parent, path
        return
    for entry in getattr(module, "__path__", []):
        folder = Path(os.path.abspath(entry))
        yield from ((folder.parent, path) for path in _sources_below(folder))


def _sources_below(folder: Path) -> list[Path]:
    if not is_project(folder):
        return []
    files: list[Path] = []
    entries = 0
    for place, below, names in os.walk(folder):
        below[:] = sorted(name for name in below if name not in SKIPPED)
        files += [Path(place, name) for name in sorted(names) if name.endswith(".py")]
        entries += len(names) + len(below)
        if len(files) >= MAX_SOURCES or entries >= MAX_ENTRIES:
            break
    return files


def is_project(path: Path) -> bool:
    """Whether a file or folder belongs to the user's project, and not to what is installed."""
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
