"""Which files the project of a plan consists of, before any of them is frozen.

The project is where the steps' functions and commands come from, and the working directory if that
is in git. In a git repository its files are those that git tracks, and those that it neither
tracks nor ignores; elsewhere all that is in the folder. Of other folders that modules are imported
from only the Python sources can matter.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from planit.errors import PlanError
from planit.job.call import Call
from planit.job.command import CommandCall, words_of
from planit.job.hydra.app_run import AppRun
from planit.nodes.functions import dotted_path
from planit.record.frozen_code import in_mb
from planit.submit.repository import Repository, repository_of
from planit.submit.sources import MAX_SOURCES, SKIPPED, is_project, project_sources

MODES = ("tree", "code", "off")
MAX_FILES = 20_000
_SHOWN = 3


@dataclass(frozen=True)
class Freeze:
    """How much of the code is frozen.

    Attributes:
        mode: "tree", all of the project's files; "code", its Python sources, whose ``__file__``
            still names the original place; "off", nothing.
        limit_mb: the most that is frozen, in MB of 10^6 bytes.

    Raises:
        PlanError: there is no such mode, or the limit is not a number above 0.
    """

    mode: str = "tree"
    limit_mb: float = 100

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise PlanError(
                f"freeze={self.mode} is unknown",
                hint="freeze=tree (the project's files), code (its Python sources) or off",
            )
        limit = self.limit_mb
        if isinstance(limit, bool) or not isinstance(limit, int | float) or not limit > 0:
            raise PlanError(f"freeze_limit_mb must be a number above 0, not {limit!r}")


@dataclass(frozen=True)
class Folder:
    """Files of the project below one folder.

    Attributes:
        root: the folder.
        whole: whether these are all of its files, or only the Python sources.
        files: what is known of each, by its path below the folder.
        links: where to links lead that stand for what is not frozen, such as ignored data.
        repository: the git repository that the folder is, or None.
        git: its commit and what has changed since that, or None.
    """

    root: Path
    whole: bool
    files: Mapping[str, os.stat_result]
    links: Mapping[str, str] = field(default_factory=dict)
    repository: Repository | None = None
    git: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Project:
    """What is to be frozen.

    Attributes:
        mode: see `Freeze`.
        folders: the folders, those of whole trees first.
        git: commit and changed files of the first one or of the working directory; None outside
            of git.
    """

    mode: str
    folders: Sequence[Folder] = ()
    git: Mapping[str, Any] | None = None

    @property
    def bytes(self) -> int:
        return sum(info.st_size for folder in self.folders for info in folder.files.values())


def survey(
    calls: Iterable[Call],
    freeze: Freeze,
    runs: Iterable[Path],
    directory: Path,
    roots: Sequence[Path] | None = None,
) -> Project:
    """Find out what the project of a plan consists of.

    Args:
        calls: the steps' calls, whose modules have been imported.
        freeze: how much is wanted.
        runs: folders of runs, which are not part of the project.
        directory: the working directory of the submission.
        roots: the folders of whose files all are wanted, if that was decided before.

    Raises:
        PlanError: it is more than the limit; the largest files are named.
    """
    functions = list({id(call.function): _unwrapped(call.function) for call in calls}.values())
    if freeze.mode != "tree":
        here = repository_of(directory)
        repository = None if here is None else Repository.at(here)
        git: Mapping[str, Any] | None = None if repository is None else repository.summary()
        folders = _source_folders(functions, ()) if freeze.mode == "code" else []
    else:
        wanted = _roots(functions, directory) if roots is None else list(roots)
        left_out = [Path(os.path.realpath(one)) for one in runs]
        trees = [_tree(root, [one for one in left_out if _is_inside(one, root)]) for root in wanted]
        git = trees[0].git if trees else None
        folders = [*trees, *_source_folders(functions, trees)]
    project = Project(freeze.mode, folders, git)
    _refuse_large(project, freeze)
    return project


def _roots(functions: Iterable[Any], directory: Path) -> list[Path]:
    """The folders of whose files all are wanted; none is inside another."""
    here = repository_of(directory)
    found = [] if here is None else [here]
    used = sorted(_used_folders(functions, directory), key=lambda folder: folder != directory)
    found += used
    return [one for one in dict.fromkeys(found) if not any(_is_inside(one, o) for o in found)]


def _unwrapped(function: Any) -> Any:
    while (inner := _inner(function)) is not None:
        function = inner
    return function if isinstance(function, CommandCall) or callable(function) else type(function)


def _inner(function: Any) -> Any:
    """What functools.partial, functools.wraps and the like have around them."""
    return getattr(function, "func", None) or getattr(function, "__wrapped__", None)


def _refuse_large(project: Project, freeze: Freeze) -> None:
    if project.bytes <= freeze.limit_mb * 10**6:
        return
    sizes = sorted(
        ((info.st_size, path) for one in project.folders for path, info in one.files.items()),
        reverse=True,
    )
    largest = ", ".join(f"{path} ({in_mb(size)})" for size, path in sizes[:_SHOWN])
    raise PlanError(
        f"the project at {project.folders[0].root} has {in_mb(project.bytes)} to freeze, more than"
        f" freeze_limit_mb={freeze.limit_mb:g}: {largest}",
        hint="let git ignore what is not code, freeze only Python sources with freeze=code, or"
        f" set freeze_limit_mb={int(project.bytes / 10**6) + 1}",
    )


def _is_inside(path: Path, folder: Path) -> bool:
    return folder in path.parents


def _used_folders(functions: Iterable[Any], directory: Path) -> Iterator[Path]:
    """The folders that functions and commands of the project come from."""
    modules: dict[str, None] = {}
    files: dict[str, str] = {}  # with the folder that each is imported from
    commands = []
    for function in functions:
        if isinstance(function, CommandCall):
            commands.append(function)
        elif isinstance(function, AppRun):
            files[function.program.file] = function.program.root
        else:
            modules[str(getattr(function, "__module__", None))] = None
    if any(_names_a_file(command, directory) for command in commands):
        yield directory
    for name in modules:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is not None and file:
            path = Path(os.path.realpath(file))
            depth = module.__name__.count(".") + (path.name == "__init__.py")
            files[file] = str(path.parents[0 if module.__name__ == "__main__" else depth])
    for file, root in files.items():
        if not is_project(Path(file)):
            continue
        folder = Path(os.path.realpath(root))
        if (repository := repository_of(Path(os.path.realpath(file)).parent)) is not None:
            yield repository
        else:
            yield directory if directory in (folder, *folder.parents) else folder


def _names_a_file(command: CommandCall, directory: Path) -> bool:
    """Whether a command has a word that is a file or a module of its working directory."""
    where = Path(os.path.normpath(directory / (command.cwd or "")))
    if directory not in (where, *where.parents):
        return False
    words = words_of(command.command)
    after_m = [word.split(".")[0] for flag, word in pairwise(words) if flag == "-m"]
    names = [*words, *after_m, *(f"{module}.py" for module in after_m)]
    return any(not os.path.isabs(name) and _exists(where / name) for name in names)


def _exists(path: Path) -> bool:
    try:
        return path.name not in ("", "..") and path.exists()
    except (OSError, ValueError):  # a word that no file can be called
        return False


def _tree(root: Path, runs: Sequence[Path]) -> Folder:
    repository = Repository.at(root) if (root / ".git").exists() else None
    git = None
    if repository is None:
        files = _walked(root, root, runs)
        outside = [name for name in os.listdir(root) if name in SKIPPED]
    else:
        others = repository.others(runs)
        files = _stats(root, [*repository.tracked(), *others])
        for name in [name for name, info in files.items() if stat.S_ISDIR(info.st_mode)]:
            del files[name]  # a submodule, or another repository
            files |= _walked(root, root / name, runs)
        git = repository.summary(others)
        outside = [name.rstrip("/") for name in repository.ignored]
    if len(files) >= MAX_FILES:
        raise PlanError(
            f"the project at {root} has more than {MAX_FILES:,} files to freeze",
            hint="let git ignore what is not code; or freeze=code (Python sources), freeze=off",
        )
    links = {name: str(root / name) for name in outside if _is_data(root / name, runs)}
    return Folder(root, whole=True, files=files, links=links, repository=repository, git=git)


def _is_data(path: Path, runs: Iterable[Path]) -> bool:
    """Whether what git ignores may be data or results, that the code finds beside itself."""
    if path.name in SKIPPED or path.suffix == ".pyc":
        return False
    return not any(one == path or _is_inside(one, path) or _is_inside(path, one) for one in runs)


def _stats(root: Path, names: Iterable[str]) -> dict[str, os.stat_result]:
    found = {}
    for name in names:
        with suppress(OSError):  # removed since
            found[name] = os.lstat(f"{root}/{name}")
    return found


def _walked(root: Path, folder: Path, runs: Sequence[Path]) -> dict[str, os.stat_result]:
    """All files below a folder, but for caches, environments and the runs."""
    files: dict[str, os.stat_result] = {}
    for place, below, names in os.walk(folder):
        links = [name for name in below if os.path.islink(os.path.join(place, name))]
        left_out = {*SKIPPED, *links, *(one.name for one in runs if str(one.parent) == place)}
        below[:] = sorted(name for name in below if name not in left_out)
        paths = (os.path.relpath(os.path.join(place, name), root) for name in (*names, *links))
        files |= _stats(root, sorted(path for path in paths if not path.endswith(".pyc")))
        if len(files) >= MAX_FILES:
            break
    return files


def _source_folders(functions: Iterable[Any], trees: Sequence[Folder]) -> list[Folder]:
    """Python sources that are imported, or can be, from other folders that the user edits."""
    covered = {f"{tree.root}/{name}" for tree in trees for name in tree.files}
    found: dict[Path, dict[str, os.stat_result]] = {}
    count = 0
    programs = [one.program.root for one in functions if isinstance(one, AppRun)]
    for root, path in project_sources(_modules_of(functions), programs):
        there = found.setdefault(root, {})
        name = os.path.relpath(path, root)
        if name in there or str(path) in covered:
            continue
        with suppress(OSError):
            there[name] = os.stat(path)
            count += 1
        if count >= MAX_SOURCES:
            break
    return [Folder(root, whole=False, files=files) for root, files in found.items() if files]


def _modules_of(functions: Iterable[Any]) -> set[str]:
    names = {str(getattr(function, "__module__", None) or "") for function in functions}
    names |= {dotted_path(function) or "" for function in functions}
    return {name.partition(".")[0] for name in names} - {"", "__main__"}
