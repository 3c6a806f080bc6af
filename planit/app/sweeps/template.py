"""A plan's content with the places where swept values stand, so that a branch costs a few copies.

Resolving a configuration is slow, and most of a plan is the same in every branch of a sweep. A
`Template` resolves it once. It exists only where setting a value provably changes nothing but the
places that are known: the swept keys are plain values, and whatever the plan refers to mentions
them only as a whole, ``${lr}``, inside the plan itself.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from planit.app.config.plans import resolved
from planit.app.config.written import Written, references
from planit.errors import ConfigError
from planit.job.hydra.rows import is_near

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Template:
    """The resolved content of a plan, and where each swept key stands in it.

    Attributes:
        content: of the plan.
        places: where in it each key stands.
        typed: the configuration converts the values of these keys to their types.
        config: the configuration.
    """

    content: dict[str, Any]
    places: Mapping[str, Sequence[Path]]
    typed: Collection[str]
    config: DictConfig

    @classmethod
    def find(cls, config: DictConfig, written: Written, keys: Sequence[str]) -> Template | None:
        """The template of ``config.plan`` for these swept keys, or None if it is not certain."""
        raw, _ = written.at("plan")
        if not isinstance(raw, dict) or not all(is_plain(written, key) for key in keys):
            return None
        if len(keys) > 1 and any(key.endswith(".slurm_args") for key in keys):
            return None  # another key may be a field of one of these presets
        if any(
            is_near(key.split(".")[0], name)
            for name in (*_preset_names(raw), "slurm_defaults")
            for key in keys
        ):
            return None
        places = _places(written, raw, keys)
        if places is None:
            return None
        try:
            typed = [key for key in keys if not _is_free(config, written, key)]
            return cls(resolved(config), places, typed, config)
        except ConfigError:  # the usual way tells best what is wrong
            return None

    def with_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The content of one branch; whatever did not change is the same object in all.

        Raises:
            OmegaConfBaseException: a value is not of its key's type.
        """
        copied: dict[Path, Any] = {(): dict(self.content)}
        for key, given in values.items():
            value = given
            if key in self.typed:
                OmegaConf.update(self.config, key, given)
                value = OmegaConf.select(self.config, key)
            for path in self.places[key]:
                _set(copied, path, value)
        content: dict[str, Any] = copied[()]
        return content


def _set(copied: dict[Path, Any], path: Path, value: Any) -> None:
    """Set a value, copying every container on the way once."""
    container = copied[()]
    for depth, step in enumerate(path[:-1], 1):
        here = path[:depth]
        if here not in copied:
            inner = container[step]
            copied[here] = copy.copy(inner)
            container[step] = copied[here]
        container = copied[here]
    container[path[-1]] = value


def is_plain(written: Written, key: str) -> bool:
    """Whether a key holds a value that refers to nothing."""
    content, rest = written.at(key)
    return not rest and not isinstance(content, dict | list) and "${" not in str(content)


_VALUES = ("text", 0, 0.5, True, None)


def _is_free(config: DictConfig, written: Written, key: str) -> bool:
    """Whether a key holds whatever it is set to: no type converts the value. Tried out."""
    before, _ = written.at(key)
    try:
        for value in _VALUES:
            OmegaConf.update(config, key, value)
            if type(OmegaConf.select(config, key)) is not type(value):
                return False
    except OmegaConfBaseException:
        return False
    finally:
        with suppress(OmegaConfBaseException):
            OmegaConf.update(config, key, before)
    return True


def _places(written: Written, raw: Any, keys: Sequence[str]) -> dict[str, list[Path]] | None:
    """Where in the plan each key stands; None if anything in reach is not simple."""
    places: dict[str, list[Path]] = {key: [] for key in keys}
    for key in keys:
        if key.startswith("plan."):
            places[key].append(tuple(key.split(".")[1:]))
    seen: set[str] = set()
    todo: list[str] = []
    for path, text in _texts(raw, ()):
        names = references(text)
        if names is None:
            return None
        for name in names:
            if name in places and text == f"${{{name}}}":
                places[name].append(path)
            else:
                todo.append(name)
    while todo:
        name = todo.pop()
        if any(is_near(name, key) for key in keys):
            return None
        if name in seen:
            continue
        seen.add(name)
        for _, text in _texts(written.at(name)[0], ()):
            names = references(text)
            if names is None:
                return None
            todo += names
    return places


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """All texts in plain content that refer to something, each with its place."""
    if isinstance(value, str):
        if "${" in value:
            yield path, value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index))


def _preset_names(raw: Any) -> set[str]:
    """The mounts that steps refer to by name in ``slurm_args``."""
    if isinstance(raw, dict):
        own = {raw["slurm_args"]} if isinstance(raw.get("slurm_args"), str) else set()
        return {str(name) for name in own}.union(*(_preset_names(item) for item in raw.values()))
    if isinstance(raw, list):
        return set().union(*(_preset_names(item) for item in raw))
    return set()
