"""Overrides of a resume: other SLURM arguments for what is rerun.

They edit what the run's record has of its steps; no configuration is composed again. An override
of ``slurm.time`` is for the steps whose SLURM arguments came from the key ``slurm``, one of
``plan.steps.STEP.slurm.time`` for a single step, in a sweep for that step of every branch.
``slurm=NAME`` and ``plan.steps.STEP.slurm_args=NAME`` choose another preset. In a run made from
Python ``slurm`` means all of its steps, and STEP is a step's name. For arguments of steps see
`planit.app.config.new_arguments`; whatever else an override could mean is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from planit.app.config.compose import config_files
from planit.app.config.presets import MISSING, Presets, completed, slurm_defaults
from planit.app.config.refusals import as_config_error
from planit.app.config.written import whole_reference
from planit.backends.base import Backend
from planit.errors import ConfigError, suggest
from planit.nodes import Origin, Resources, SlurmArgs
from planit.nodes.arguments import TARGET
from planit.nodes.slurm_args import changed, resources_of
from planit.record.manifest import origins, packed_origins

_MAPPINGS = (
    "additional_params", "slurm_additional_parameters", "env", "slurm_env", "container",
    "slurm_container",
)  # fmt: skip


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
        self._origins = origins(manifest["tree"]) | packed_origins(manifest["tree"])
        self._steps = {key for o in self._origins.values() if (key := _step_key(o)) is not None}
        self._presets = {o.preset for o in self._origins.values() if o.preset is not None}
        changes = [self._change(one) for one in parsed(overrides)]
        changes.sort(key=lambda change: change.whom in self._steps)  # a step's own wins
        self._fields = [change for change in changes if change.field is not None]
        self._choices: dict[_Change, _Preset] = {}
        if choices := [change for change in changes if change.field is None]:
            config = OmegaConf.create(manifest.get("config") or {})
            with config_files():
                self._choices = {one: self._preset(config, one) for one in choices}

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
                here = [self._origins[name] for name in now]
                keys = {key for o in here for key in (o.preset, _step_key(o)) if key is not None}
                why = f"no step that is rerun uses {change.whom}"
                if change.whom in keys:
                    why = f"the steps set their own {change.field}"
                hint = suggest(change.whom, keys)
                raise ConfigError(f"{change.text} has no effect: {why}", hint=hint)
        return new

    def _new(self, origin: Origin, old: Resources, done: set[_Change]) -> Resources:
        """One step's parameters; adds the changes that reach it to `done`."""
        step, preset, base = _step_key(origin), origin.preset, None
        chosen = [choice for choice in self._choices if choice.whom in (preset, step)]
        if chosen:
            base = self._choices[chosen[-1]]
            preset = base.key if chosen[-1].whom == step else preset
        mine = [
            change
            for change in self._fields
            if change.whom == step or (change.whom == preset and change.field not in origin.own)
        ]
        done.update(chosen + mine)
        own = origin.own.items() if base else ()
        fields = _combined([*own, *((change.field, change.value) for change in mine)])
        if base is None:
            return changed(old, fields) if fields else old
        for field in base.missing:
            if fields.get(field) is None:
                where = chosen[-1].whom + (".slurm" if chosen[-1].whom == step else "")
                hint = f"add {where}.{field}=..."
                raise ConfigError(f"{chosen[-1].text}: {field} is not set", hint=hint)
        return changed(base.resources, fields)

    def _change(self, one: Override) -> _Change:
        """What an override is about. Raises ConfigError."""
        text, key = str(one.input_line), one.package or one.key_or_group  # slurm@cpu=NAME
        if one.is_sweep_override() or (one.is_delete() and one.value() is not None):
            raise ConfigError(f"{text}: a resume takes KEY=VALUE and ~KEY")
        value = None if one.is_delete() else one.value()
        whom, path = self._split(key)
        if not path:
            if not isinstance(value, str):
                raise ConfigError(f"{text}: the name of a SLURM preset is expected")
            return _Change(text, whom, None, whole_reference(value) or value)
        if "${" in str(value):
            raise ConfigError(f"{text}: a resume takes plain values, without interpolations")
        field, *option = path
        return _Change(text, whom, field, {option[0]: value} if option else value)

    def _split(self, key: str) -> tuple[str, list[str]]:
        """The key of the preset or the step in a key, and what follows. Raises ConfigError."""
        parts = key.split(".")
        for count in range(len(parts), 0, -1):
            whom, path = ".".join(parts[:count]), parts[count:]
            if whom in self._presets:
                break
            if path[:1] in (["slurm"], ["slurm_args"]) and parts[:2] == ["plan", "steps"]:
                if whom not in self._steps:
                    hint = suggest(whom, self._steps)
                    raise ConfigError(f"{whom}: plan.steps has no such step", hint=hint)
                if path != ["slurm"]:
                    path = path[1:]
                    break
        else:
            can = [f"{name}.FIELD" for name in sorted(self._presets)]
            can += ["plan.steps.STEP.slurm.FIELD", "plan.steps.STEP.ARGUMENT"]
            raise ConfigError(
                f"{key} cannot be changed in a resume: it runs the recorded calls again",
                hint=f"what can be changed: {', '.join(can)}",
            )
        if len(path) > (2 if path[:1] and path[0] in _MAPPINGS else 1):
            raise ConfigError(f"{key}: a field of the SLURM arguments is expected")
        return whom, path

    def _preset(self, config: DictConfig, change: _Change) -> _Preset:
        """The preset that an override names: a key of the run's configuration, or a file."""
        if change.whom in self._steps:
            key, content = Presets().by_name(config, change.value)
        else:
            key, content = None, Presets().from_group(config, change.value)
        content.pop(TARGET, None)
        content = completed(content, slurm_defaults(config))
        given = {name: value for name, value in content.items() if value != MISSING}
        resources = resources_of(given if "slurm_time" in given else SlurmArgs.from_mapping(given))
        return _Preset(key, resources, tuple(name for name in content if name not in given))


def _step_key(origin: Origin) -> str | None:
    return None if origin.step is None else f"plan.steps.{origin.step}"


def parsed(overrides: Sequence[str]) -> Iterator[Override]:
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


def changed_backend(backend: Backend, overrides: Sequence[str]) -> Backend:
    """The backend with ``backend.KEY=VALUE`` applied.

    Raises:
        ConfigError: there is no such setting, or the value is not of its kind.
    """
    settings: dict[str, Any] = {}
    for one in parsed(overrides):
        if one.is_sweep_override() or one.is_delete():
            raise ConfigError(f"{one.input_line}: a resume takes backend.KEY=VALUE")
        settings[one.key_or_group.removeprefix("backend.")] = one.value()
    return backend.with_settings(settings)
