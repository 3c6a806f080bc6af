"""Composes the configurations of a sweep, each equal to what Hydra would compose for it.

Hydra composes every configuration from scratch, tens of milliseconds each. But only overrides of
config groups decide which files are merged; overrides of values are applied on top afterwards, by
the same code for every configuration. So each combination of groups is composed once, by Hydra's
own loader, and the values are applied to that, by Hydra's own function. Where a value is not
plain or the configuration asks Hydra about itself (``${hydra:...}``), the loader does it all.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from planit.errors import ConfigError


@dataclass(frozen=True)
class Composed:
    """One configuration of a sweep.

    Attributes:
        values: the swept overrides, as text.
        groups: the overrides that choose from a config group.
        settings: the overrides of values.
        config: the composed configuration. The next branch may change it: use it before.
    """

    values: Mapping[str, str]
    groups: tuple[str, ...]
    settings: tuple[str, ...]
    config: DictConfig


@dataclass(frozen=True)
class _Choice:
    """One value of one override."""

    key: str
    text: str
    parsed: Override
    swept: bool
    is_group: bool


def compose_branches(
    loader: ConfigLoader, master: DictConfig, arguments: Sequence[str]
) -> Iterator[Composed]:
    """The configurations of a sweep, in Hydra's own order.

    Args:
        loader: Hydra's.
        master: the configuration that the sweep was started with.
        arguments: the overrides, swept ones too.

    Raises:
        ConfigError: a sweep without an end, such as ``interval``.
    """
    axes = _axes(loader, arguments)
    bases: dict[tuple[str, ...], _Base] = {}
    for row in itertools.product(*axes):
        groups = tuple(choice.text for choice in row if choice.is_group)
        if groups not in bases:
            bases[groups] = _Base(loader, master, groups, axes)
        yield Composed(
            {choice.key: choice.text.partition("=")[2] for choice in row if choice.swept},
            groups,
            tuple(choice.text for choice in row if not choice.is_group),
            bases[groups].with_values(row),
        )


class _Base:
    """A combination of groups, composed once."""

    def __init__(
        self,
        loader: ConfigLoader,
        master: DictConfig,
        groups: tuple[str, ...],
        axes: Sequence[Sequence[_Choice]],
    ) -> None:
        self._loader = loader
        self._master = master
        self._config = loader.load_sweep_config(master, list(groups))
        values = [choice.parsed for axis in axes for choice in axis if not choice.is_group]
        self._is_certain = _stands_alone(self._config) and not _moves_search_path(values)
        self._in_place = all(_is_plain(value) for value in values)

    def with_values(self, row: Sequence[_Choice]) -> DictConfig:
        if not self._is_certain:
            whole = self._loader.load_sweep_config(self._master, [choice.text for choice in row])
            HydraConfig.instance().set_config(whole)
            return whole
        # Every branch sets the same keys, so that plain values can be set in place.
        config = self._config if self._in_place else copy.deepcopy(self._config)
        values = [choice.parsed for choice in row if not choice.is_group]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        return config


def _axes(loader: ConfigLoader, arguments: Sequence[str]) -> list[list[_Choice]]:
    """All values of each override; a later override of a key replaces an earlier one."""
    parser = OverridesParser.create(config_loader=loader)
    sources = list(loader.get_sources())
    axes: dict[str, list[_Choice]] = {}
    for override in parser.parse_overrides(list(arguments)):
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise ConfigError(
                    f"{override.input_line} has no end", hint="use choice(...) or range(...)"
                )
            texts = [f"{key}={value}" for value in override.sweep_string_iterator()]
        else:
            texts = [_plain_text(override)]
        is_group = any(source.is_group(override.key_or_group) for source in sources)
        plain = OverridesParser.create().parse_overrides(texts)
        axes[key] = [
            _Choice(
                key=key.lstrip("+"),
                text=text,
                parsed=parsed,
                swept=override.is_sweep_override(),
                is_group=is_group and not isinstance(parsed.value(), dict),
            )
            for text, parsed in zip(texts, plain, strict=True)
        ]
    return list(axes.values())


def _plain_text(override: Override) -> str:
    if override.is_delete() and override.value() is None:
        return str(override.input_line)
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _is_plain(override: Override) -> bool:
    """Whether setting it a second time with another value leaves nothing of the first."""
    if override.is_delete() or override.is_add():
        return False
    return not isinstance(override.value(), dict | list)


def _stands_alone(config: DictConfig) -> bool:
    """Whether the configuration does not ask Hydra about itself."""
    return not _mentions(OmegaConf.to_container(_without_hydra(config), resolve=False), "${hydra:")


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _mentions(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return text in value
    if isinstance(value, dict):
        return any(_mentions(item, text) for item in value.values())
    return isinstance(value, list) and any(_mentions(item, text) for item in value)


def _moves_search_path(values: Sequence[Override]) -> bool:
    return any(value.key_or_group == "hydra.searchpath" for value in values)


def swept_values(text: str, key: str, loader: ConfigLoader | None) -> list[Any]:
    """The values of Hydra's sweep syntax, such as ``range(0,10)`` or ``choice(a,b)``.

    Raises:
        ConfigError: not the syntax of a sweep, or one without an end.
    """
    parser = OverridesParser.create(config_loader=loader)
    try:
        override = parser.parse_overrides([f"{key}={text}"])[0]
        if not override.is_sweep_override() or not override.is_discrete_sweep():
            raise ConfigError(
                f"{key}: {text!r} is no list of values", hint="write a list, or range(0,10)"
            )
        return list(override.sweep_iterator())
    except HydraException as error:
        raise ConfigError(f"{key}: {text!r} cannot be read: {error}") from error
