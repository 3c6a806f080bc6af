"""A plan's content with the places where swept values stand, so that a branch costs a few copies.

Resolving a configuration is slow, and most of a plan is the same in every branch of a sweep. A
`Template` resolves it once. It exists only where setting a value provably changes nothing but the
places that are known: the swept keys are plain values, and whatever the plan refers to mentions
them only as a whole, ``${lr}``, inside the plan itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import AnyNode, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

Path = tuple[str | int, ...]

_SIMPLE = re.compile(r"\$\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")


@dataclass(frozen=True)
class Template:
    """The resolved content of a plan, and where each swept key stands in it."""

    content: dict[str, Any]
    places: Mapping[str, Sequence[Path]]

    @classmethod
    def find(cls, config: DictConfig, keys: Sequence[str]) -> Template | None:
        """The template of ``config.plan`` for these swept keys, or None if it is not certain."""
        if not isinstance(config.get("plan"), DictConfig):
            return None
        raw: Any = OmegaConf.to_container(config.plan, resolve=False)
        if not all(_is_plain_leaf(config, key) for key in keys):
            return None
        if any(is_near(key.split(".")[0], name) for name in _preset_names(raw) for key in keys):
            return None
        places = _places(config, raw, keys)
        if places is None:
            return None
        try:
            content: Any = OmegaConf.to_container(config.plan, resolve=True, throw_on_missing=True)
        except OmegaConfBaseException:  # the usual way tells best what is wrong
            return None
        return cls(content, places)

    def with_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The content of one branch; whatever did not change is the same object in all."""
        copied: dict[Path, Any] = {(): dict(self.content)}
        for key, value in values.items():
            for path in self.places[key]:
                _set(copied, path, value)
        result: dict[str, Any] = copied[()]
        return result


def _set(copied: dict[Path, Any], path: Path, value: Any) -> None:
    """Set a value, copying every container on the way once."""
    container = copied[()]
    for depth, step in enumerate(path[:-1], 1):
        here = path[:depth]
        if here not in copied:
            inner = container[step]
            copied[here] = dict(inner) if isinstance(inner, dict) else list(inner)
            container[step] = copied[here]
        container = copied[here]
    container[path[-1]] = value


def _is_plain_leaf(config: DictConfig, key: str) -> bool:
    """Whether a key holds an untyped value, which is whatever it is set to."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return False
        node = node._get_node(part, validate_access=False)
        if isinstance(node, AnyNode) and node._is_interpolation():
            return False
    return type(node) is AnyNode


def is_near(key: str, other: str) -> bool:
    """Whether setting one of two keys can change the other."""
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


def _places(config: DictConfig, raw: Any, keys: Sequence[str]) -> dict[str, list[Path]] | None:
    """Where in the plan each key stands; None if anything in reach is not simple."""
    places: dict[str, list[Path]] = {key: [] for key in keys}
    for key in keys:
        if key.startswith("plan."):
            places[key].append(tuple(key.split(".")[1:]))
    seen: set[str] = set()
    todo: list[str] = []
    for path, text in _texts(raw, ()):
        references = _references(text)
        if references is None:
            return None
        for name in references:
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
        for _, text in _texts(_raw_at(config, name), ()):
            references = _references(text)
            if references is None:
                return None
            todo += references
    return places


def _references(text: str) -> list[str] | None:
    """The keys that a text refers to; None if it holds anything else than plain references."""
    found = _SIMPLE.findall(text)
    return found if text.count("${") == len(found) else None


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


def _raw_at(config: DictConfig, key: str) -> Any:
    """The unresolved content at a key, also where the way there is an interpolation itself."""
    node: Any = config
    for part in key.split("."):
        node = node._get_node(part, validate_access=False) if isinstance(node, DictConfig) else None
        if isinstance(node, AnyNode):
            return node._value()
    return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else None


def _preset_names(raw: Any) -> set[str]:
    """The mounts that steps refer to by name in ``slurm_args``."""
    if isinstance(raw, dict):
        own = {raw["slurm_args"]} if isinstance(raw.get("slurm_args"), str) else set()
        return {str(name) for name in own}.union(*(_preset_names(item) for item in raw.values()))
    if isinstance(raw, list):
        return set().union(*(_preset_names(item) for item in raw))
    return set()
