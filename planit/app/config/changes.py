"""Overrides of a resume: other SLURM arguments for what is rerun.

They edit what the run's record has of its steps; no configuration is composed again. An override
of ``slurm.time`` is for the steps whose SLURM arguments came from the key ``slurm``, one of
``plan.steps.STEP.slurm.time`` for a single step, in a sweep for that step of every branch.
``slurm=NAME`` and ``plan.steps.STEP.slurm_args=NAME`` choose another preset. A run made from Python
has no keys: ``slurm`` means all of its steps. Whatever else an override could mean is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from planit.app.config import presets
from planit.app.config.build import MISSING
from planit.app.config.compose import config_files
from planit.app.config.refusals import as_config_error
from planit.app.config.written import whole_reference
from planit.backends.base import Backend
from planit.errors import ConfigError, suggest
from planit.nodes import Origin, Resources, SlurmArgs
from planit.nodes.arguments import TARGET
from planit.nodes.slurm_args import changed, resources_of
from planit.record.manifest import origins

_STEP = "plan.steps."
_MORE = ("additional_params", "slurm_additional_parameters")
_PYTHON = Origin(preset="slurm")


@dataclass(frozen=True, eq=False)  # values need not be hashable
class _Change:
    """One override.

    Attributes:
        text: as it was written.
        whom: the key of a preset, or of a step.
        field: what it sets; None if it chooses another preset.
        value: None unsets the field.
    """

    text: str
    whom: str
    field: str | None
    value: Any

    @property
    def step(self) -> str | None:
        """The step that it is for; None if it is for a preset."""
        return self.whom.removeprefix(_STEP) if self.whom.startswith(_STEP) else None

    def is_for(self, origin: Origin, preset: str | None) -> bool:
        """Whether it is for a step whose SLURM arguments come from `preset` now."""
        return self.step == origin.step if self.step is not None else self.whom == preset


@dataclass(frozen=True)
class _Preset:
    """Another preset: its key in the configuration, if it has one, and what it leaves open."""

    key: str | None
    resources: Resources
    missing: tuple[str, ...]


class Changes:
    """What the overrides of a resume make of the SLURM arguments of its steps.

    Args:
        manifest: of the run.
        overrides: as typed.

    Raises:
        ConfigError: an override that is not about SLURM arguments, or not valid.
    """

    def __init__(self, manifest: Mapping[str, Any], overrides: Sequence[str]) -> None:
        tree = origins(manifest["tree"])
        self._origins = {name: origin or _PYTHON for name, origin in tree.items()}
        keys = {origin.preset for origin in self._origins.values() if origin.preset}
        self._keys = sorted((key for key in keys if not key.startswith(_STEP)), key=len)
        changes = [self._change(one) for one in _parsed(overrides)]
        changes.sort(key=lambda change: change.step is not None)  # a step's own wins
        self._fields = [change for change in changes if change.field is not None]
        self._choices: dict[_Change, _Preset] = {}
        if len(self._fields) < len(changes):
            with config_files():
                config = OmegaConf.create(manifest.get("config") or {})
                choices = [change for change in changes if change.field is None]
                self._choices = {change: _preset(config, change) for change in choices}

    def __call__(self, now: Mapping[str, Resources]) -> dict[str, Resources]:
        """The new submission parameters of steps, by name.

        Raises:
            ConfigError: an override changes nothing of any of these steps.
            PlanError: a field that does not exist, or a value that it does not take.
        """
        done: set[_Change] = set()
        new = {name: self._new(self._origins[name], old, done) for name, old in now.items()}
        for change in (*self._choices, *self._fields):
            if change not in done:
                raise self._without_effect(change, now)
        return new

    def _new(self, origin: Origin, old: Resources, done: set[_Change]) -> Resources:
        """One step's parameters; adds the changes that reach it to `done`."""
        preset, chosen = origin.preset, None
        for choice, found in self._choices.items():
            if choice.is_for(origin, origin.preset):
                done.add(choice)
                preset, chosen = (found.key if choice.step else origin.preset), (choice, found)
        mine = [change for change in self._fields if change.is_for(origin, preset)]
        mine = [c for c in mine if c.step is not None or c.field not in origin.own]
        done.update(mine)
        given = [(change.field, change.value) for change in mine]
        fields = _combined([*(origin.own.items() if chosen else ()), *given])
        if chosen is None:
            return changed(old, fields) if fields else old
        choice, found = chosen
        for field in found.missing:
            if fields.get(field) is None:
                where = f"{choice.whom}.slurm" if choice.step else choice.whom
                hint = f"add {where}.{field}=..."
                raise ConfigError(f"{choice.text}: {field} is not set", hint=hint)
        return changed(found.resources, fields)

    def _without_effect(self, change: _Change, now: Mapping[str, Resources]) -> ConfigError:
        found = {name: self._origins[name] for name in now}
        for origin in found.values():
            if change.is_for(origin, origin.preset):
                own = f"{_STEP}{origin.step}.slurm.{change.field}=..." if origin.step else None
                message = f"{change.text} has no effect: the steps set their own {change.field}"
                return ConfigError(message, hint=own)
        if change.step is None:
            keys = {origin.preset for origin in found.values() if origin.preset}
            message = f"{change.text} has no effect: no step that is rerun uses {change.whom}"
            return ConfigError(message, hint=suggest(change.whom, keys))
        steps = {origin.step for origin in self._origins.values() if origin.step}
        if change.step in steps:
            steps = {origin.step for origin in found.values() if origin.step}
            message = f"{change.text} has no effect: {change.step} is not rerun"
            return ConfigError(message, hint=suggest(change.step, steps))
        hint = suggest(change.step, steps)
        return ConfigError(f"{change.text}: plan.steps has no step {change.step!r}", hint=hint)

    def _change(self, one: Override) -> _Change:
        """What an override is about. Raises ConfigError."""
        text, key = str(one.input_line), one.key_or_group
        if one.is_sweep_override() or (one.is_delete() and one.value() is not None):
            raise ConfigError(f"{text}: a resume takes KEY=VALUE and ~KEY")
        if one.package is not None:  # slurm@cpu=NAME
            key = one.package
        whom, path = self._split(key)
        value = None if one.is_delete() else one.value()
        if not path:
            if not isinstance(value, str):
                raise ConfigError(f"{text}: the name of a SLURM preset is expected")
            return _Change(text, whom, None, whole_reference(value) or value)
        if "${" in str(value):
            raise ConfigError(f"{text}: a resume takes plain values, without interpolations")
        field, *option = path
        if option:
            value = {option[0]: value}
        return _Change(text, whom, field, value)

    def _split(self, key: str) -> tuple[str, list[str]]:
        """The key of the step or the preset in a key, and what follows. Raises ConfigError."""
        parts = key.split(".")
        for whom in reversed(self._keys):
            if key == whom or key.startswith(f"{whom}."):
                path = key[len(whom) + 1 :].split(".") if key != whom else []
                break
        else:
            whom, path = ".".join(parts[:3]), parts[4:]
            chooses, sets = parts[3:] == ["slurm_args"], parts[3:4] in (["slurm"], ["slurm_args"])
            if not whom.startswith(_STEP) or not (chooses or (sets and path)):
                raise self._no_slurm_argument(key)
        if len(path) > (2 if path[:1] and path[0] in _MORE else 1):
            raise self._no_slurm_argument(key)
        return whom, path

    def _no_slurm_argument(self, key: str) -> ConfigError:
        can = [f"{name}.FIELD" for name in self._keys]
        if any(origin.step for origin in self._origins.values()):
            can.append(f"{_STEP}STEP.slurm.FIELD")
        return ConfigError(
            f"{key} cannot be changed in a resume: it runs the recorded calls again",
            hint=f"what can be changed are SLURM arguments: {', '.join(can)}",
        )


def _parsed(overrides: Sequence[str]) -> Iterator[Override]:
    try:
        return iter(OverridesParser.create().parse_overrides(overrides=list(overrides)))
    except HydraException as error:
        raise as_config_error(error) from error


def _combined(fields: Sequence[tuple[Any, Any]]) -> dict[str, Any]:
    """Fields by name; later ones win, and sbatch options are set one by one."""
    found: dict[str, Any] = {}
    for name, value in fields:
        both = isinstance(value, dict) and isinstance(found.get(name), dict)
        found[name] = {**found[name], **value} if both else value
    return found


def _preset(config: Any, change: _Change) -> _Preset:
    """The preset that an override names: a key of the run's configuration, or a file in conf/."""
    if change.step is None:
        key, content = None, presets.from_group(change.value)
    else:
        key, content = presets.by_name(config, change.value)
    content.pop(TARGET, None)
    given = {name: value for name, value in content.items() if value != MISSING}
    resources = resources_of(given if "slurm_time" in given else SlurmArgs.from_mapping(given))
    return _Preset(key, resources, tuple(name for name in content if name not in given))


def changed_backend(backend: Backend, overrides: Sequence[str]) -> Backend:
    """The backend with ``backend.KEY=VALUE`` applied.

    Raises:
        ConfigError: there is no such setting, or the value is not of its kind.
    """
    settings: dict[str, Any] = {}
    for one in _parsed(overrides):
        if one.is_sweep_override() or one.is_delete():
            raise ConfigError(f"{one.input_line}: a resume takes backend.KEY=VALUE")
        settings[one.key_or_group.removeprefix("backend.")] = one.value()
    return backend.with_settings(settings)
