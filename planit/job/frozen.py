"""Lets a step, and every Python that it starts, run the code as it was at submission.

A job may start days after it was queued, and by then its author has edited half the project.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from planit.job.interpreter import sitecustomize
from planit.job.interpreter.sitecustomize import CODE, FrozenFolders
from planit.record.frozen_code import CodeUsed, place_of
from planit.record.trust import TrustedDir

CODE_DIR = "PLANIT_CODE_DIR"
_INTERPRETER = str(Path(sitecustomize.__file__).parent)
_SCRIPTS = frozenset({".sh", ".bash", ".zsh", ".csh", ".fish", ".pl", ".R", ".r", ".jl", ".rb"})
_PLAIN_WORD = re.compile(r"(?<![^\s;&|(])[\w./+-]+(?![^\s;&|)])")
_REDIRECTION = re.compile(r">\s*([\w./+-]+)")
_CHANGES_DIRECTORY = re.compile(r"(?<![^\s;&|(])(cd|pushd|popd)(?![^\s;&|)])")


def extend_path(entries: Iterable[str]) -> list[str]:
    """Put `entries` on sys.path, behind what is there; which were added."""
    there = set(sys.path)
    added = [entry for entry in entries if entry not in there]
    sys.path += added
    return added


def use(run: TrustedDir, code: CodeUsed) -> list[tuple[str, str, bool]]:
    """Let imports of this process come from the frozen code of a run; its folders.

    Raises:
        RunError: another user could have written it.
    """
    listed: list[tuple[str, str, bool]] = []
    if code.name is not None:
        run.subdir(place_of(code.name)).close()
        listed = [(one.root, str(run.path / one.place), one.whole) for one in code.folders]
    if listed:
        sitecustomize.install(listed)
    return listed


def for_children(listed: list[tuple[str, str, bool]]) -> None:
    """Let the Pythons that this process starts do the same, through their environment."""
    path = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    path = [entry for entry in path if entry != _INTERPRETER]
    for name in (CODE, CODE_DIR):
        os.environ.pop(name, None)
    if listed:
        path.insert(0, _INTERPRETER)
        os.environ[CODE] = json.dumps(listed)
        if whole := [place for _, place, is_whole in listed if is_whole]:
            os.environ[CODE_DIR] = whole[0]
    if path:
        os.environ["PYTHONPATH"] = os.pathsep.join(path)
    else:
        os.environ.pop("PYTHONPATH", None)


def with_own_path(environment: Mapping[str, str], own: Mapping[str, str]) -> dict[str, str]:
    """An environment with a command's own variables; its PYTHONPATH hides no frozen code."""
    merged = {**environment, **own}
    if CODE in merged and "PYTHONPATH" in own:
        path = [_INTERPRETER, own["PYTHONPATH"]]
        merged["PYTHONPATH"] = os.pathsep.join(filter(None, path))
    return merged


@contextmanager
def importable(entries: Iterable[str]) -> Iterator[None]:
    """Have `entries` on sys.path, behind what is there, as a job of the run has them."""
    added = extend_path(entries)
    try:
        yield
    finally:
        for entry in added:
            with suppress(ValueError):
                sys.path.remove(entry)


def frozen_command(command: str | tuple[str, ...], directory: str | None) -> str | tuple[str, ...]:
    """A command in which scripts of the project are named by their frozen copies.

    Python's own scripts are left to `planit.job.interpreter`. A text for a shell is changed only
    where that is safe: plain words, and no change of the working directory.
    """
    if CODE not in os.environ:
        return command
    folders = FrozenFolders([tuple(folder) for folder in json.loads(os.environ[CODE])])
    where = os.path.abspath(directory or ".")
    if not isinstance(command, str):
        return tuple(_frozen_script(word, where, folders) for word in command)
    if _CHANGES_DIRECTORY.search(command):
        return command
    written = {match[1] for match in _REDIRECTION.finditer(command)}
    if any(_frozen_script(word, where, folders) != word for word in written):
        return command  # a script that the command makes
    has_quotes = any(character in command for character in "'\"\\`")

    def replaced(word: re.Match[str]) -> str:
        own, copy = word.group(), _frozen_script(word.group(), where, folders)
        quoted = shlex.quote(copy)
        return own if copy == own or (has_quotes and quoted != copy) else quoted

    return _PLAIN_WORD.sub(replaced, command)


def copy_of(script: str) -> tuple[str, str]:
    """The file that is run for a Python script of the project, and what it is called then."""
    found = None
    if CODE in os.environ:
        folders = FrozenFolders([tuple(folder) for folder in json.loads(os.environ[CODE])])
        found = folders.find(script)
    if found is None:
        return script, script
    copy, takes_its_place = found
    return copy, copy if takes_its_place else script


def _frozen_script(word: str, where: str, folders: FrozenFolders) -> str:
    suffix = os.path.splitext(word)[1]
    if suffix not in _SCRIPTS and ("/" not in word or suffix == ".py"):
        return word
    found = folders.find(os.path.join(where, word))
    if found is None or not found[1] or not os.path.isfile(found[0]):
        return word
    return found[0] if suffix in _SCRIPTS or _is_program(found[0]) else word


def _is_program(path: str) -> bool:
    """Whether a file is one, and not data on a file system where everything can be executed."""
    if not os.access(path, os.X_OK):
        return False
    with suppress(OSError), open(path, "rb") as file:
        return file.read(4).startswith((b"\x7fELF", b"#!"))
    return False


def new_beside(run: TrustedDir, code: CodeUsed) -> str:
    """A line on what steps have written beside their code, where only this run has it; or ""."""
    if not code.names:
        return ""
    place = run.path / code.folders[0].place
    new: list[str] = []
    with suppress(OSError):
        new = sorted(set(os.listdir(place)) - {*code.names, "__pycache__"})
    if not new:
        return ""
    return (
        f"{', '.join(new)}: written beside the frozen code, in {place}. To write into"
        f" {code.folders[0].root}, use the working directory, or submit with freeze=code"
    )
