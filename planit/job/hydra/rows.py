"""Composes the configurations of many steps of one program, each as Hydra would compose it.

Hydra takes tens of milliseconds for one. But overrides of values decide nothing about which files
it merges; it applies them at the end. So what the steps have in common is composed once, by
Hydra's own loader, and plain values are applied to that, by Hydra's own function: here, to see
whether they fit, and again in the job.
"""

from __future__ import annotations

import copy
import io
import pickle
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import cloudpickle
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from planit.job.hydra.internals import apply_values, set_branch
from planit.job.hydra.program import Row

_MAX_ERRORS = 20  # of one program: after each, Hydra composes what the next steps share again


class NotComposedError(Exception):
    """The configurations of steps were refused.

    Attributes:
        errors: what Hydra raised, by the number of the step.
    """

    def __init__(self, errors: Mapping[int, Exception]) -> None:
        super().__init__(errors)
        self.errors = errors


def compose_rows(
    loader: ConfigLoader, config_name: str | None, rows: Sequence[Sequence[str]]
) -> tuple[list[bytes], list[tuple[int, Row]]]:
    """The configurations of steps.

    Args:
        loader: Hydra's, of the program.
        config_name: the name of the program's primary configuration.
        rows: the overrides of each step.

    Returns:
        The pickled bases, and of each step the number of its base and what it has of its own.

    Raises:
        NotComposedError: Hydra refuses the overrides of steps; it has the first `_MAX_ERRORS`.
    """
    return _Composing(loader, config_name, rows).done()


def configuration(base: bytes, row: Row) -> tuple[DictConfig, Any]:
    """The configuration of a step, with Hydra's own part, and what `GlobalHydra` holds, or None."""
    stream = io.BytesIO(base)
    pickle.load(stream)  # the text
    config, hydra = pickle.load(stream)
    if row.late or row.num is not None:
        set_branch(config, row.late, row.overrides, row.num)
    return config, hydra


def configuration_text(base: bytes, row: Row) -> str:
    """The same as YAML, without Hydra's own part, as ``--cfg job`` prints it.

    Nothing of the program is imported for it.
    """
    config = OmegaConf.create(pickle.load(io.BytesIO(base)))
    assert isinstance(config, DictConfig)
    apply_values(OverridesParser.create().parse_overrides(list(row.late)), config)
    return OmegaConf.to_yaml(config)


def text_of_config(config: DictConfig) -> str:
    """A composed configuration as YAML, without Hydra's own part."""
    return OmegaConf.to_yaml(
        OmegaConf.masked_copy(config, [str(k) for k in config if k != "hydra"])
    )


class _Composing:
    def __init__(
        self, loader: ConfigLoader, config_name: str | None, rows: Sequence[Sequence[str]]
    ) -> None:
        self.loader = loader
        self.config_name = config_name
        self.rows = rows
        self.parser = OverridesParser.create(config_loader=loader)
        self.cache: dict[str, Override] = {}
        self.bases: list[bytes] = []
        self.found: dict[int, tuple[int, Row]] = {}
        self.errors: dict[int, Exception] = {}
        self.refusals = 0

    def done(self) -> tuple[list[bytes], list[tuple[int, Row]]]:
        alike: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for number, row in enumerate(self.rows):
            try:
                alike[self.kind(row)].append(number)
            except Exception as error:
                self.refuse([number], error)
        for numbers in alike.values():
            late = self.late_keys(numbers[0]) if len(numbers) > 1 else frozenset()
            groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
            for number in numbers:
                row = self.rows[number]
                groups[tuple(t for t in row if not self.is_late(t, late))].append(number)
            for fixed, same in groups.items():
                self.compose(fixed, same)
        if self.errors:
            raise NotComposedError(self.errors)
        return self.bases, [self.found[number] for number in range(len(self.rows))]

    def parsed(self, text: str) -> Override:
        if text not in self.cache:
            self.cache[text] = self.parser.parse_overrides([text])[0]
        return self.cache[text]

    def kind(self, row: Sequence[str]) -> tuple[Any, ...]:
        """Equal for steps whose overrides Hydra treats alike: the keys, and which are mappings."""
        try:
            overrides = [self.parsed(text) for text in row]
        except HydraException:  # Hydra's words are about all of them
            self.parser.parse_overrides(list(row))
            raise
        return tuple((one.get_key_element(), isinstance(one.value(), dict)) for one in overrides)

    def late_keys(self, number: int) -> frozenset[str]:
        """The keys of values that no other override of this step can touch."""
        overrides = [self.parsed(text) for text in self.rows[number]]
        try:
            defaults = self.loader.compute_defaults_list(
                self.config_name, list(self.rows[number]), RunMode.RUN
            )
        except HydraException:  # composing it tells what is wrong
            return frozenset()
        values = {(one.input_line, one.key_or_group) for one in defaults.config_overrides}
        return frozenset(
            one.key_or_group
            for one in overrides
            if (one.input_line, one.key_or_group) in values
            and not one.is_hydra_override()
            and sum(is_near(one.key_or_group, other.key_or_group) for other in overrides) == 1
        )

    def is_late(self, text: str, keys: frozenset[str]) -> bool:
        one = self.parsed(text)
        if one.key_or_group not in keys or one.is_delete() or one.is_sweep_override():
            return False
        return one.package is None

    def refuse(self, numbers: Sequence[int], error: Exception) -> None:
        """Note what Hydra refuses of these steps; the others are looked at too, up to a limit."""
        self.errors |= dict.fromkeys(numbers, error)
        self.refusals += 1
        if self.refusals == _MAX_ERRORS:
            raise NotComposedError(self.errors)

    def compose(self, fixed: Sequence[str], numbers: Sequence[int]) -> None:
        """Compose what these steps have in common, and see whether the rest of each fits."""
        try:
            config = self.load(fixed)
            base = _pickled(config)
        except Exception as error:
            self.refuse(numbers, error)
            return
        self.bases.append(base)
        given = set(fixed)
        for number in numbers:
            texts = self.rows[number]
            late = tuple(text for text in texts if text not in given)
            try:
                self.try_values([self.parsed(text) for text in late], config)
            except Exception as error:
                self.refuse([number], error)
                config = self.load(fixed)  # some of the values may have been applied
                continue
            task = tuple(text for text in texts if not self.parsed(text).is_hydra_override())
            self.found[number] = (len(self.bases) - 1, Row(task, late))

    def load(self, fixed: Sequence[str]) -> DictConfig:
        """The configuration with these overrides."""
        config = self.loader.load_configuration(
            self.config_name, list(fixed), RunMode.RUN, from_shell=False
        )
        _refuse_multirun(config)
        _set_mode(config)
        return config

    def try_values(self, late: list[Override], config: DictConfig) -> None:
        """Apply values to a configuration that others of these keys were applied to before."""
        if not all(_can_be_undone(one, config) for one in late):
            apply_values(late, copy.deepcopy(config))
            return
        apply_values(late, config)
        added = [self.parsed(f"~{one.key_or_group}") for one in late if one.is_add()]
        apply_values(added, config)


def _pickled(config: DictConfig) -> bytes:
    """A configuration as YAML; and itself, with what `hydra.compose` in the program needs.

    That is left out if it cannot be pickled. The text can be read without the program.
    """
    text = pickle.dumps(text_of_config(config))
    try:
        return text + by_name((config, GlobalHydra.instance().hydra))
    except Exception:
        return text + by_name((config, None))


def _set_mode(config: DictConfig) -> None:
    """Say that this is a single run, as Hydra does for one."""
    with read_write(config.hydra), open_dict(config.hydra):
        if config.hydra.mode is None:
            config.hydra.mode = RunMode.RUN
            config.hydra.overrides.hydra.append("hydra.mode=RUN")


def _refuse_multirun(config: DictConfig) -> None:
    mode = config.hydra.mode
    if mode is not None and mode.name == "MULTIRUN":
        raise HydraException(
            "the program's configuration has hydra.mode=MULTIRUN\n"
            "add hydra.mode=RUN to the overrides, and sweep with planit submit -m"
        )


def _can_be_undone(override: Override, config: DictConfig) -> bool:
    """Whether the same key can be set again, as if that was the first time."""
    key = override.key_or_group
    if isinstance(override.value(), dict):  # it is merged into what is there
        return False
    if not override.is_add():
        return True
    above = OmegaConf.select(config, key.rpartition(".")[0]) if "." in key else config
    return above is None or OmegaConf.get_type(above) is dict  # a dataclass keeps its fields


def is_near(key: str, other: str) -> bool:
    """Whether setting one of two keys can change the other."""
    return key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.")


def by_name(value: Any) -> bytes:
    """A value pickled for a process that runs the same program.

    What a script defines is pickled by its name, so that an Enum or a dataclass of the script is
    in the job the one that the script compares with.
    """
    buffer = io.BytesIO()
    _ByName(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


class _ByName(cloudpickle.CloudPickler):  # type: ignore[misc, unused-ignore]
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type | FunctionType) and obj.__module__ == "__main__":
            found: Any = sys.modules["__main__"]
            for part in obj.__qualname__.split("."):
                found = getattr(found, part, None)
            if found is obj:
                return NotImplemented  # Python's own way: by name
        return super().reducer_override(obj)
