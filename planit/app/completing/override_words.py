"""Overrides of a plan's configuration, as a shell offers them: with Hydra, and so not as quick.

Hydra's own completion fails where a group of the defaults list has no choice yet (``plan: ???``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.object_type import ObjectType
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from planit.app.completing.slurm_words import field_names, fields_behind
from planit.app.config.compose import run_app

Found = list[tuple[str, str]]

_VALUES = {
    "action": ("describe", "submit"),
    "freeze": ("tree", "code", "off"),
    "share": ("group", "null"),
}
_SIMPLE = re.compile(r"[\w.+:/@%-]+")  # a value that Hydra takes without quotes
_STEP = re.compile(r"plan\.steps\.[^.]+\.")
_NO_PLAN = "~plan"


class OverrideWords:
    """What can be typed for overrides.

    Args:
        words: the other overrides of the command line.
        config_dir, config_name: where the primary config is, if that is typed.
    """

    def __init__(
        self, words: Sequence[str], config_dir: str | None, config_name: str | None
    ) -> None:
        given = [_unswept(word) for word in words if not word.startswith("hydra")]
        self._words = [word for word in given if "(" not in word]
        self._place = config_dir, config_name

    def overrides(self, current: str) -> Found:
        """What begins with `current`, and more."""
        if fields := list(fields_behind(current)):
            return fields
        return self._in_configuration(lambda seen: _overrides(seen, current))

    def steps(self) -> Found:
        """The steps of the plan."""
        return self._in_configuration(
            lambda seen: ((str(name), "step") for name in seen.keys_of("plan.steps"))
        )

    def _in_configuration(self, find: Callable[[_Seen], Iterable[tuple[str, str]]]) -> Found:
        """What is found in the configuration that the words make, or in one that can be made."""
        task = _Task(find)
        for words in (self._words, [*self._words, _NO_PLAN], [_NO_PLAN], []):
            with suppress(Exception):  # something typed is wrong, or not typed yet
                run_app(task, words, *self._place)
            if task.found is not None:
                return task.found
        return []


def _unswept(word: str) -> str:
    """A word with the first of its values."""
    key, equals, values = word.partition("=")
    return word if "[" in values or "{" in values else key + equals + values.split(",")[0]


@dataclass(frozen=True)
class _Seen:
    """A composed configuration, while Hydra is there.

    Attributes:
        config: its own part.
        hydra: Hydra's part.
        loader: knows the groups.
    """

    config: DictConfig
    hydra: DictConfig
    loader: ConfigLoader

    def at(self, key: str) -> Any:
        """What a key holds; None if there is no such key, or it cannot be resolved."""
        root: Any = {"hydra": self.hydra} if key.partition(".")[0] == "hydra" else self.config
        try:
            return OmegaConf.select(
                OmegaConf.create(root) if root is not self.config else root, key
            )
        except OmegaConfBaseException:
            return None

    def keys_of(self, key: str) -> list[str]:
        """The keys below a key."""
        node = self.at(key)
        return [str(name) for name in node] if isinstance(node, DictConfig) else []

    def options(self, group: str, kind: ObjectType = ObjectType.CONFIG) -> list[str]:
        """The configs of a group, or its groups."""
        name = self.hydra.job.config_name
        return self.loader.get_group_options(group, kind, config_name=name)

    @property
    def groups(self) -> list[str]:
        """The groups of which a config is chosen; those with a package as ``slurm@cpu``."""
        return [str(group) for group in self.hydra.runtime.choices]


@dataclass
class _Task:
    """Finds the candidates in a composed configuration."""

    find: Callable[[_Seen], Iterable[tuple[str, str]]]
    found: Found | None = None

    def __call__(self, config: DictConfig) -> None:
        loader = GlobalHydra.instance().config_loader()
        hydra: Any = HydraConfig.get()
        self.found = list(self.find(_Seen(config, hydra, loader)))

    def sweep(self, _branches: Any, config: DictConfig, _overrides: Sequence[str]) -> None:
        self(config)

    def batch(self, configs: Sequence[DictConfig], *_rest: Any) -> list[Any]:
        self(configs[0])
        return []


def _overrides(seen: _Seen, current: str) -> Iterator[tuple[str, str]]:
    body = current.lstrip("+~")
    sign = current[: len(current) - len(body)]
    key, equals, value = body.partition("=")
    if not equals:
        end = "" if sign == "~" else "="
        yield from ((f"{sign}{text}", told) for text, told in _keys(seen, body, end, sign))
        return
    done = f"{sign}{key}={value[: value.rfind(',') + 1]}"
    yield from ((f"{done}{text}", told) for text, told in _values(seen, key))


def _keys(seen: _Seen, body: str, end: str, sign: str) -> Iterator[tuple[str, str]]:
    above = body[: body.rfind(".") + 1]
    if not above:
        yield from _groups(seen, body, end, sign)
    elif _STEP.fullmatch(above):
        yield f"{above}slurm.", "SLURM arguments of this step"
    node = seen.at(above[:-1]) if above else seen.config
    if not isinstance(node, DictConfig):
        return
    for name in map(str, node):
        if not name.startswith("_") or body[len(above) :].startswith("_"):
            is_leaf = OmegaConf.is_interpolation(node, name) or not _is_group(node, name)
            yield f"{above}{name}{end if is_leaf else '.'}", ""
    if node.get("_target_") == "planit.SlurmArgs":
        yield from ((f"{above}{name}{end}", "SLURM argument") for name in field_names())


def _is_group(node: DictConfig, name: str) -> bool:
    return not OmegaConf.is_missing(node, name) and isinstance(node[name], DictConfig)


def _groups(seen: _Seen, body: str, end: str, sign: str) -> Iterator[tuple[str, str]]:
    chosen = seen.groups
    own = [group for group in chosen if body.startswith("hydra") or not group.startswith("hydra/")]
    if "plan" not in own and sign != "~":
        own.append("plan")
    if sign == "+":
        own += [group for group in seen.options("", ObjectType.GROUP) if group not in chosen]
    for group in own:
        yield f"{group}{end}", "config group"


def _values(seen: _Seen, key: str) -> Iterator[tuple[str, str]]:
    if key in _VALUES:
        yield from ((text, "") for text in _VALUES[key])
        return
    names = seen.options(key.partition("@")[0])
    if key.endswith(".slurm_args"):
        names = [*seen.options("slurm"), "slurm", "cpu"]
    if names:
        yield from ((name, "") for name in dict.fromkeys(names))
        return
    value = seen.at(key)
    if isinstance(value, bool):
        yield from (("true", ""), ("false", ""))
    elif isinstance(value, Enum):
        yield from ((name, "") for name in type(value).__members__)
    elif not isinstance(value, DictConfig | ListConfig):
        text = "null" if value is None else str(value)
        if _SIMPLE.fullmatch(text):
            yield text, "its value now"
