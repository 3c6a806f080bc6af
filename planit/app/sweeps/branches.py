"""Composes the configurations of a sweep, each equal to what Hydra would compose for it.

Hydra composes every configuration from scratch, tens of milliseconds each. But only overrides of
config groups decide which files are merged; overrides of values are applied on top afterwards, by
the same code for every configuration. So each combination of groups is composed once, by Hydra's
own loader, and the values are applied to that, by Hydra's own function.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Transformer
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from planit.app.config.plans import Composed
from planit.app.config.written import Written, as_written, preset_keys
from planit.app.sweeps.template import Template, is_plain
from planit.errors import ConfigError
from planit.job.hydra.hydra_config import FrozenConfig, StepHydra, leave_to_job
from planit.job.hydra.internals import apply_values, name_branch, parsed, with_number
from planit.job.hydra.rows import is_near
from planit.nodes.arguments import IN_JOB


@dataclass(frozen=True)
class _Choice:
    """One value of one override.

    Attributes:
        text: the override; empty for a group that this branch does not add.
        is_late: set on top of the base in every branch, rather than composed into it.
    """

    key: str
    text: str
    parsed: Override
    swept: bool
    is_late: bool


_Axes: TypeAlias = list[list[_Choice]]


def compose_branches(
    loader: ConfigLoader, master: DictConfig, arguments: Sequence[str]
) -> Iterator[Composed]:
    """The configurations of a sweep, in Hydra's own order.

    Args:
        loader: Hydra's.
        master: the configuration that the sweep was started with.
        arguments: the overrides, swept ones too.

    Raises:
        ConfigError: not a finite sweep, such as ``interval``.
    """
    axes = _axes(loader, arguments)
    bases: dict[tuple[str, ...], _Base] = {}
    for number, row in enumerate(itertools.product(*axes)):
        fixed = tuple(choice.text for choice in row if choice.text and not choice.is_late)
        if fixed not in bases:
            bases[fixed] = _Base(loader, master, fixed, axes)
        yield bases[fixed].branch(row, number)


class _Base:
    """What branches share that differ only in plain values: composed once, by Hydra."""

    def __init__(
        self, loader: ConfigLoader, master: DictConfig, fixed: Sequence[str], axes: _Axes
    ) -> None:
        self._config = loader.load_sweep_config(master, list(fixed))
        self._frozen = FrozenConfig(self._config, is_whole=True)
        self._asks_hydra = _mentions(as_written(self._config), IN_JOB)
        late = [choice.parsed for axis in axes for choice in axis if choice.is_late]
        self._in_place = all(_is_plain(value) for value in late)
        self._template: Template | None = None
        self._preset_keys: Mapping[str, str] | None = None
        if not self._asks_hydra and all(_is_literal(value) for value in late):
            written = Written(self._config)
            keys = list(dict.fromkeys(value.key_or_group for value in late))
            self._template = Template.find(self._config, written, keys)
            if all(is_plain(written, key) for key in keys):  # then no reference comes or goes
                self._preset_keys = preset_keys(written)

    def branch(self, row: Sequence[_Choice], number: int) -> Composed:
        """A branch's configuration, and the content of its plan if a template gives it."""
        swept = {choice.key: _value(choice) for choice in row if choice.swept}
        row = [choice for choice in row if choice.text]
        late = [choice.parsed for choice in row if choice.is_late]
        overrides = [choice.text for choice in row]
        hydra = StepHydra(
            self._frozen, [choice.text for choice in row if choice.is_late], overrides, number
        )
        if self._template is not None:
            values = {value.key_or_group: value.value() for value in late}
            with suppress(OmegaConfBaseException):  # Hydra's own way tells best what is wrong
                content = self._template.with_values(values)
                return Composed(swept, self._config, content, self._preset_keys, hydra)
        # Every branch sets the same keys, so that plain values can be set in place.
        config = self._config if self._in_place else copy.deepcopy(self._config)
        apply_values(late, config)
        if self._asks_hydra:
            leave_to_job(config.hydra)
            name_branch(config.hydra, [choice.parsed for choice in row], number)
            current: Any = HydraConfig.instance()
            current.cfg = config  # `set_config` would copy it, in 2 ms
        return Composed(swept, config, None, self._preset_keys, hydra)


def _axes(loader: ConfigLoader, arguments: Sequence[str]) -> _Axes:
    """All values of each override; a later override of a key replaces an earlier one."""
    parser = OverridesParser.create(config_loader=loader)
    overrides = {
        override.get_key_element(): override for override in parser.parse_overrides(list(arguments))
    }
    sources = list(loader.get_sources())
    groups = {
        key
        for key, override in overrides.items()
        if any(source.is_group(override.key_or_group) for source in sources)
    }
    swept = [
        override.key_or_group
        for key, override in overrides.items()
        if override.is_sweep_override() and key not in groups
    ]
    return [
        _axis(override, is_group=key in groups, swept=swept) for key, override in overrides.items()
    ]


def _axis(override: Override, *, is_group: bool, swept: Sequence[str]) -> list[_Choice]:
    """The values of one override."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        choices = _parsed([_plain_text(override)])
    elif override.is_discrete_sweep():
        choices = _elements(override)
        if is_group:
            choices = [_left_out(one) if one.value() is None else (t, one) for t, one in choices]
    else:
        hint = "use choice(...) or range(...)"
        raise ConfigError(f"{override.input_line} is not a finite sweep", hint=hint)
    # An override of a value that no swept one can touch gives the same in any order.
    is_late = any(is_near(override.key_or_group, other) for other in swept)
    return [
        _Choice(
            key=key.lstrip("+"),
            text=text,
            parsed=parsed,
            swept=override.is_sweep_override(),
            is_late=is_late and (not is_group or isinstance(parsed.value(), dict)),
        )
        for text, parsed in choices
    ]


def _elements(sweep: Override) -> list[tuple[str, Override]]:
    """The overrides that a sweep stands for: each text, and what Hydra's parser makes of it."""
    key = sweep.get_key_element()
    values: list[Any] = list(sweep.sweep_iterator())
    if not all(type(value) in (int, float) and math.isfinite(value) for value in values):
        return _parsed([f"{key}={value}" for value in sweep.sweep_string_iterator()])
    texts = [f"{key}={Transformer.str(value)}" for value in values]
    return [
        (text, with_number(sweep, value, text)) for text, value in zip(texts, values, strict=True)
    ]


def _left_out(null: Override) -> tuple[str, Override]:
    """``GROUP=null`` in a sweep, which Hydra refuses: this branch goes without the group."""
    if null.is_add():
        return "", null
    return _parsed([f"~{null.get_key_element()}"])[0]


def _value(choice: _Choice) -> str:
    return choice.text.partition("=")[2] if "=" in choice.text else "null"


def _parsed(texts: Sequence[str]) -> list[tuple[str, Override]]:
    return list(zip(texts, parsed(texts), strict=True))


def _plain_text(override: Override) -> str:
    if override.is_delete() and override.value() is None:
        return str(override.input_line)
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _is_plain(override: Override) -> bool:
    """Whether setting it a second time with another value leaves nothing of the first."""
    if override.is_delete() or override.is_add():
        return False
    return not isinstance(override.value(), dict | list)


def _is_literal(override: Override) -> bool:
    """Whether the key exists and takes the value as it is."""
    value = override.value()
    if not _is_plain(override) or override.is_force_add():
        return False
    return (
        value is None
        or isinstance(value, bool | int | float)
        or (isinstance(value, str) and "${" not in value and value != "???")
    )


def _mentions(value: Any, text: str) -> bool:
    if isinstance(value, str):
        return text in value
    if isinstance(value, dict):
        return any(_mentions(item, text) for item in value.values())
    return isinstance(value, list) and any(_mentions(item, text) for item in value)
