"""Imports and scripts as they were submitted, in a step and in every Python that it starts.

Python imports a module of this name when it starts (see its documentation of `site`), and planit
puts this folder first on a step's PYTHONPATH. So ``python train.py``, ``python -m package`` and
what they import come from the frozen code of the run, also where a shell script starts them. What
was removed since is still there, and what was added since is not.

A Command may use another Python than planit's: this needs the standard library only, of 3.8 on.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from importlib.machinery import PathFinder, SourceFileLoader

if False:  # for type checkers only: `typing` is slow to import
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

CODE = "PLANIT_CODE"  # the frozen folders, as JSON: [[where it was, where it is frozen, whole], ..]


class FrozenFolders:
    """Where the files of some folders are frozen.

    Args:
        listed: for each where it was, where it is frozen, and whether all of its files are, or
            only the Python sources.
    """

    def __init__(self, listed: list[tuple[str, str, bool]]) -> None:
        self._listed = sorted(listed, key=lambda folder: -len(folder[0]))
        self._real: dict[str, str] = {}
        self._is_there: dict[str, bool] = {}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenFolders) and other._listed == self._listed

    def __hash__(self) -> int:
        return hash(tuple(self._listed))

    def find(self, path: str) -> tuple[str, bool] | None:
        """The frozen copy of a file or folder, and whether it takes the place of the original."""
        path = os.path.abspath(path)
        for form in dict.fromkeys((path, self._without_links(path))):
            for root, place, whole in self._listed:
                if form == root or form.startswith(root + os.sep):
                    copy = place + form[len(root) :]
                    if self._has(place, copy) and os.path.exists(copy):
                        return copy, whole
        return None

    def forget(self) -> None:
        """Look at the file system anew."""
        self._real.clear()
        self._is_there.clear()

    # A step may import thousands of modules, and on a network file system each look at a folder is
    # a round trip: what is asked of all files in a folder is asked once.

    def _without_links(self, path: str) -> str:
        """`os.path.realpath`, which looks at every folder on the way each time."""
        folder, name = os.path.split(path)
        if not name:
            return path
        if folder not in self._real:
            self._real[folder] = self._without_links(folder)
        path = os.path.join(self._real[folder], name)
        return os.path.realpath(path) if os.path.islink(path) else path

    def _has(self, place: str, copy: str) -> bool:
        """Whether a frozen folder has the file or folder at its top that `copy` is or is below.

        It has no virtual environment, for instance, even if the project has one.
        """
        top = os.path.join(place, copy[len(place) + 1 :].partition(os.sep)[0])
        if top not in self._is_there:
            self._is_there[top] = os.path.exists(top)
        return self._is_there[top]

    def original(self, path: str) -> str | None:
        """Where a frozen file was, if it is one that keeps its old name."""
        for root, place, whole in self._listed:
            if path.startswith(place + os.sep):
                return None if whole else root + path[len(place) :]
        return None

    def is_copy(self, path: str) -> bool:
        return any(path.startswith(place + os.sep) for _, place, _ in self._listed)


class FrozenFinder:
    """Finds modules in the frozen folders in place of the original ones."""

    def __init__(self, folders: FrozenFolders) -> None:
        self.folders = folders
        self._entries: dict[str, list[str]] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "planit":
            return None  # a job runs the planit that submitted it
        if path is None:
            self.replace_entries()
        entries = sys.path if path is None else path
        searched = [found for entry in entries for found in self._searched(entry)]
        spec = PathFinder.find_spec(fullname, searched) or self._by_others(fullname, path, target)
        return None if spec is None else self._as_submitted(fullname, spec)

    def replace_entries(self) -> None:
        """Let sys.path name the frozen folders: what was added since must not be found."""
        for place, entry in enumerate(sys.path):
            searched = self._searched(entry)
            if len(searched) == 1 and searched[0] != entry:
                sys.path[place] = searched[0]

    def invalidate_caches(self) -> None:
        self._entries.clear()
        self.folders.forget()

    def _searched(self, entry: str) -> list[str]:
        if entry not in self._entries:
            searched = [entry]
            try:
                found = self.folders.find(entry or os.getcwd())
            except OSError:  # the working directory was removed
                return searched
            if found is not None:  # a source that is only in the original place was added since
                searched = [found[0]] if found[1] else [found[0], entry]
            if not entry:  # the working directory of the moment
                return searched
            self._entries[entry] = searched
        return self._entries[entry]

    def _by_others(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None
    ) -> ModuleSpec | None:
        """Those of editable installs know the places of packages by themselves."""
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            if finder is not PathFinder and hasattr(finder, "find_spec"):
                spec = finder.find_spec(fullname, path, target)
                if spec is not None:
                    return spec
        return None

    def _as_submitted(self, fullname: str, spec: ModuleSpec) -> ModuleSpec:
        origin = spec.origin
        if not spec.has_location or not origin or not origin.endswith(".py"):
            return spec
        if not self.folders.is_copy(origin):
            found = self.folders.find(origin)
            if found is None:
                return spec
            origin = found[0]
        name = self.folders.original(origin)
        places = None
        if spec.submodule_search_locations is not None:
            places = [os.path.dirname(name or origin)]
        loader = None if name is None else _OriginalName(fullname, name, origin)
        made = importlib.util.spec_from_file_location(
            fullname, name or origin, loader=loader, submodule_search_locations=places
        )
        return made or spec


class _OriginalName(SourceFileLoader):
    """Loads a frozen source whose ``__file__`` still names the original place."""

    def __init__(self, fullname: str, path: str, copy: str) -> None:
        super().__init__(fullname, path)
        self._copy = copy

    def get_data(self, path: str) -> bytes:
        return super().get_data(self._copy if path == self.path else path)

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source under the original's name; no byte code is read or written."""
        code: CodeType = self.source_to_code(self.get_data(self.path), self.path)
        return code


def install(listed: list[tuple[str, str, bool]]) -> None:
    """Let imports of this process come from the frozen folders; the last call counts."""
    folders = FrozenFolders(listed)
    there = [finder for finder in sys.meta_path if type(finder).__name__ == "FrozenFinder"]
    if any(getattr(finder, "folders", None) == folders for finder in there):
        return  # a fork of the local engine has it already
    for finder in there:
        sys.meta_path.remove(finder)
    finder = FrozenFinder(folders)
    finder.replace_entries()
    before = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
    sys.meta_path.insert(before, finder)


def _script_of(words: list[str]) -> int | None:
    """Which word of Python's command line is the script, if one is (``python --help``)."""
    takes_next = False
    for place, word in enumerate(words[1:], 1):
        if takes_next:
            takes_next = False
        elif not word.startswith("-"):
            return place
        elif word.startswith("--"):
            takes_next = word == "--check-hash-based-pycs"
        else:
            for at, letter in enumerate(word[1:], 1):
                if letter in "cm" or word == "-":
                    return None
                if letter in "WX":
                    takes_next = at == len(word) - 1
                    break
    return None


def _run_frozen_script(listed: list[tuple[str, str, bool]]) -> None:
    """Start over with the frozen copy of the script, if this Python is about to run one."""
    words = list(getattr(sys, "orig_argv", ()))
    if not words and sys.version_info < (3, 10):
        with open("/proc/self/cmdline", "rb") as file:
            words = [os.fsdecode(word) for word in file.read().split(b"\0")[:-1]]
    place = _script_of(words)
    found = None if place is None else FrozenFolders(listed).find(words[place])
    if place is not None and found is not None and found[1] and sys.executable:
        words[place] = found[0]
        os.execv(sys.executable, words)


def _next_of_this_name() -> None:
    """A site's own module of this name, which this one hides."""
    here = os.path.dirname(os.path.abspath(__file__))
    others = [entry for entry in sys.path if os.path.abspath(entry) != here]
    spec = PathFinder.find_spec("sitecustomize", others)
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


if __name__ == "sitecustomize":
    if os.environ.get(CODE):
        frozen = json.loads(os.environ[CODE])
        install(frozen)
        _run_frozen_script(frozen)
    _next_of_this_name()
