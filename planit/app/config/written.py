"""A configuration as it is written, with its interpolations, and what they refer to."""

from __future__ import annotations

import re
from typing import Any

from omegaconf import DictConfig, OmegaConf

_REFERENCE = re.compile(r"\$\{([A-Za-z_][\w-]*(?:\.[\w-]+)*)\}")

_FOLDER = re.compile(r"\$\{dir:[^${}]*\}")


class Written:
    """A configuration as plain data that is not resolved; each top-level key is read once."""

    def __init__(self, config: DictConfig) -> None:
        self._config = config
        self._parts: dict[str, Any] = {}

    def at(self, key: str) -> tuple[Any, list[str]]:
        """The content at a dotted key, or at the interpolation on the way and what is left then.

        Where there is nothing, the content is None.
        """
        first, *rest = key.split(".")
        if first not in self._parts:
            self._parts[first] = self._read(first) if first in list(self._config) else None
        content = self._parts[first]
        while rest and isinstance(content, dict):
            content = content.get(rest.pop(0))
        return content, rest

    def _read(self, key: str) -> Any:
        if OmegaConf.is_interpolation(self._config, key) or OmegaConf.is_missing(self._config, key):
            part: Any = OmegaConf.to_container(OmegaConf.masked_copy(self._config, key))
            return part[key]
        node = self._config[key]
        return OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node

    def follow(self, value: Any) -> tuple[str | None, Any]:
        """What a value stands for that only refers to something else, and the key of that."""
        key = None
        seen: set[str] = set()
        while (found := whole_reference(value)) is not None and found not in seen:
            key = found
            seen.add(key)
            value, rest = self.at(key)
            if rest:
                inner = whole_reference(value)
                value = f"${{{inner}.{'.'.join(rest)}}}" if inner else None
        return key, value


def as_written(config: DictConfig) -> Any:
    """A configuration as plain data that is not resolved, without Hydra's own part."""
    keys = [str(key) for key in config if key != "hydra"]
    masked = OmegaConf.masked_copy(config, keys)
    return OmegaConf.to_container(masked, resolve=False, enum_to_str=True)


def whole_reference(value: Any) -> str | None:
    """The key in ``${key}``, or None."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return match[1] if match else None


def references(text: str) -> list[str] | None:
    """The keys that a text refers to; None if it holds anything else than plain references.

    The folder of a step, ``${dir:train}``, is no key's value.
    """
    text = _FOLDER.sub("", text)
    found: list[str] = _REFERENCE.findall(text)
    return found if text.count("${") == len(found) else None


def preset_keys(written: Written) -> dict[str, str]:
    """The key that each step's SLURM arguments come from, by the place of the step."""
    found: dict[str, str] = {}
    todo = [("plan.root", "${plan.root}")]
    _, steps = written.follow("${plan.steps}")
    if isinstance(steps, dict):
        todo += [(f"plan.steps.{name}", step) for name, step in steps.items()]
    while todo:
        place, value = todo.pop()
        _, node = written.follow(value)
        if not isinstance(node, dict):
            continue
        key, preset = written.follow(node.get("slurm_args"))
        if key is not None and isinstance(preset, dict):
            found[place] = key
        _, children = written.follow(node.get("_args_"))
        if isinstance(children, list):
            todo += [(f"{place}._args_[{i}]", child) for i, child in enumerate(children)]
    return found
