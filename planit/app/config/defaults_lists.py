"""What the defaults lists of a configuration choose, read before Hydra composes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

SELF = "_self_"
UNREADABLE = (
    AssertionError,  # of OmegaConf: a single value
    OSError,
    RecursionError,
    ValueError,
    yaml.YAMLError,
    OmegaConfBaseException,
)
"""What OmegaConf raises for a file that cannot be read."""

_MISSING = "???"
_GLOBAL = "_global_"
_OF_INTEREST = re.compile(r"^(defaults|planit)\s*:", re.MULTILINE)
_HEADER = re.compile(r"\A(?:\s*#[^\n]*\n)*?\s*#\s*@package\s+(\S+)")
_NAME = re.compile(r"[\w./-]+")


@dataclass
class DefaultsLists:
    """The defaults lists of a configuration, and of the files that they choose.

    Attributes:
        folders: where files are looked for, in this order.
        given: what the command line chooses instead, by the key that overrides a choice.
        groups: the keys of the choices that are made, such as ``slurm@cpu``.
        overridden: the groups of ``override`` entries.
        configs: the configs that are included by name, without a group.
        presets: the keys of the configuration that hold SLURM presets.
        missing: what is neither a file nor in the ConfigStore, or has to be chosen.
        imports: of ``planit.imports``.
    """

    folders: Sequence[Path]
    given: Mapping[str, Sequence[str]]
    groups: set[str] = field(default_factory=set)
    overridden: set[str] = field(default_factory=set)
    configs: set[str] = field(default_factory=set)
    presets: set[str] = field(default_factory=set)
    missing: list[str] = field(default_factory=list)
    imports: list[Any] = field(default_factory=list)
    _seen: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, content: Mapping[str, Any], group: str = "", package: str = "") -> None:
        """Read the defaults list of a file, and of all that it chooses.

        Args:
            content: of the file.
            group: that the file is in.
            package: where its content goes.
        """
        if not package and isinstance(own := content.get("planit"), Mapping):
            imports = own.get("imports") or []
            self.imports += imports if isinstance(imports, list) else [imports]
        defaults = content.get("defaults")
        for entry in defaults if isinstance(defaults, list) else ():
            if isinstance(entry, str) and entry != SELF:
                self._config(entry, group, package)
            elif isinstance(entry, Mapping) and len(entry) == 1:
                ((key, choice),) = entry.items()
                self._choice(str(key), choice, group, package)

    def follow_given(self) -> None:
        """Read what the command line chooses, and no list has."""
        for key, names in self.given.items():
            if key not in self.groups and self._is_group(key.partition("@")[0]):
                self._choice(key, list(names), "", "")

    def _config(self, entry: str, group: str, package: str) -> None:
        *words, name = entry.split() or [""]
        path, _, at = name.partition("@")
        self.configs.add(path)
        where = _package(at, package, group if group and not path.startswith("/") else "")
        self._visit(_path(path, group), where, has_package=bool(at), optional="optional" in words)

    def _choice(self, key: str, choice: Any, group: str, package: str) -> None:
        """An entry ``group@package: name``."""
        *words, name = key.split() or [""]
        relative, _, at = name.partition("@")
        path = _path(relative, group)
        if "override" in words:
            self.overridden.add(path)
            return
        where = _package(at, package, relative.lstrip("/"))
        key = path if where == path.replace("/", ".") else f"{path}@{where or _GLOBAL}"
        self.groups.add(key)
        if path == "slurm":
            self.presets.add(where)
        chosen: Any = self.given.get(key, choice)
        for one in chosen if isinstance(chosen, list | tuple) else [chosen]:
            if one == _MISSING:
                self.missing.append(path)
            elif one is not None and "${" not in str(one):
                self._visit(
                    f"{path}/{one}", where, has_package=bool(at), optional="optional" in words
                )

    def _visit(self, path: str, package: str, *, has_package: bool, optional: bool) -> None:
        """Read a file, which its header may put elsewhere if its entry does not."""
        if path.startswith("hydra/") or (path, package) in self._seen:
            return
        self._seen.add((path, package))
        file = next(filter(_is_file, (folder / f"{path}.yaml" for folder in self.folders)), None)
        if file is None:
            if not optional and not self._is_stored(path, ObjectType.CONFIG):
                self.missing.append(path)
            return
        text = _text(file)
        header = _HEADER.match(text)
        if header is not None and not has_package:
            package = _package(header[1], "", "")
        if _OF_INTEREST.search(text):
            self.follow(_loaded(file), path.rpartition("/")[0], package)

    def _is_group(self, group: str) -> bool:
        found = (_is_dir(folder / group) for folder in self.folders)
        return any(found) or self._is_stored(group, ObjectType.GROUP)

    @staticmethod
    def _is_stored(path: str, kind: ObjectType) -> bool:
        name = f"{path}.yaml" if kind is ObjectType.CONFIG else path
        return ConfigStore.instance().get_type(name) is kind


def given_choices(overrides: Iterable[str]) -> dict[str, list[str]]:
    """What a command line may choose of config groups, by their keys."""
    found = {}
    for text in overrides:
        key, equals, value = text.lstrip("+").partition("=")
        names = value.split(",")
        if equals and all(map(_NAME.fullmatch, names)):
            found[key] = names
    return found


def plain(config: Any) -> dict[str, Any]:
    """A configuration as plain data, as it is written; empty if it is not a mapping."""
    content: Any = OmegaConf.to_container(config) if isinstance(config, DictConfig) else {}
    return content if isinstance(content, dict) else {}


def _loaded(file: Path) -> dict[str, Any]:
    """A YAML file; empty if it cannot be read, which Hydra then reports."""
    try:
        return plain(OmegaConf.load(file))
    except UNREADABLE:
        return {}


def _path(name: str, group: str) -> str:
    return name.lstrip("/") if name.startswith("/") or not group else f"{group}/{name}"


def _package(at: str, parent: str, group: str) -> str:
    """Where something goes: ``at`` as written, else by its group, in what its parent has."""
    name = at or group.replace("/", ".")
    if (index := name.rfind(_GLOBAL)) != -1:
        return name[index + len(_GLOBAL) :].lstrip(".")
    return f"{parent}.{name}" if parent and name else parent or name


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
