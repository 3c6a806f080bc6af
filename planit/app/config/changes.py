"""Overrides of a resume: new resources for what is rerun, from the frozen configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from planit.app.config.hydra_versions import VERSION_BASE
from planit.app.config.places import primary
from planit.app.config.plans import Plans, group_preset
from planit.app.config.refusals import as_config_error
from planit.app.sweeps.frozen import thaw
from planit.app.sweeps.settings import merge_rows
from planit.errors import ConfigError, suggest
from planit.graph import Branch
from planit.nodes import Resources, tasks
from planit.nodes.slurm_args import changed
from planit.record.history import History

if TYPE_CHECKING:
    from planit.backends.base import Backend


def changed_resources(
    manifest: dict[str, Any], past: History, overrides: list[str]
) -> dict[str, Resources]:
    """The new submission parameters of each step that `overrides` change.

    Raises:
        ConfigError: an override that is not about SLURM arguments, or not valid.
    """
    parsed = _parse(overrides)
    if "sweep" not in manifest and "source" not in manifest:
        return _changed_everywhere(past, parsed)
    with hydra.initialize_config_dir(str(primary(None)[0]), **VERSION_BASE):
        before = _resources(manifest, {})
        after = _resources(manifest, parsed)
    return {name: new for name, new in after.items() if new.key != before[name].key}


def changed_backend(backend: Backend, overrides: list[str]) -> Backend:
    """The backend with ``backend.KEY=VALUE`` applied.

    Raises:
        ConfigError: there is no such setting, or the value is not of its kind.
    """
    settings = {key.removeprefix("backend."): value for key, value in _parse(overrides).items()}
    return backend.with_settings(settings)


def _resources(manifest: dict[str, Any], changes: dict[str, Any]) -> dict[str, Resources]:
    """Each step's submission parameters, from the frozen configuration with `changes` on top."""
    if "sweep" in manifest:
        rows, plans = [], Plans()
        for values, config in thaw(manifest["sweep"]):
            _apply_all(config, changes)
            rows.append(Branch(values, plans.of(config).root))
        root = merge_rows(rows, manifest["sweep"])
    else:
        config = OmegaConf.create(manifest["source"])
        _apply_all(config, changes)
        root = Plans().of(config).root
    return {task.name: task.resources for task, _ in tasks(root)}


def _apply_all(config: DictConfig, changes: dict[str, Any]) -> None:
    mounts = [str(key) for key in config if "SlurmArgs" in str(_target(config, str(key)))]
    for key, value in changes.items():
        _apply(config, key, value, mounts)


def _parse(overrides: list[str]) -> dict[str, Any]:
    try:
        parsed = OverridesParser.create().parse_overrides(overrides=overrides)
    except HydraException as error:
        raise as_config_error(error) from error
    for one in parsed:
        if one.is_sweep_override() or one.is_delete():
            raise ConfigError(f"{one.input_line}: a resume takes plain KEY=VALUE overrides")
    return {str(one.key_or_group): one.value() for one in parsed}


def _target(config: DictConfig, key: str) -> Any:
    node = config._get_node(key)
    return node.get("_target_") if isinstance(node, DictConfig) else None


def _apply(config: DictConfig, key: str, value: Any, mounts: list[str]) -> None:
    parts = key.split(".")
    try:
        if key in mounts:
            config[key] = group_preset(str(value), mounts)
        elif parts[0] in mounts and len(parts) > 1:
            OmegaConf.update(config, key, value)
        elif key.startswith("plan.steps.") and len(parts) >= 4 and "slurm" in parts[3]:
            _refuse_unknown_step(config, parts[2])
            OmegaConf.update(config, key, value, force_add=True)
        else:
            raise ConfigError(
                f"{key} cannot be changed in a resume: the run's configuration is frozen",
                hint=f"SLURM arguments can: {', '.join(f'{m}.FIELD' for m in mounts)},"
                " plan.steps.STEP.slurm.FIELD",
            )
    except OmegaConfBaseException as error:
        raise as_config_error(error) from error


def _refuse_unknown_step(config: DictConfig, name: str) -> None:
    known = [str(step) for step in config.plan.steps]
    if name not in known:
        raise ConfigError(f"plan.steps has no step {name!r}", hint=suggest(name, known))


def _changed_everywhere(past: History, parsed: dict[str, Any]) -> dict[str, Resources]:
    """A run made from Python has no configuration: ``slurm.FIELD`` changes all that is rerun."""
    fields = {}
    for key, value in parsed.items():
        if not key.startswith("slurm."):
            raise ConfigError(
                f"{key} cannot be changed: this run was submitted from Python",
                hint="slurm.FIELD=VALUE changes all that is rerun",
            )
        fields[key.removeprefix("slurm.")] = value
    return {
        name: changed(Resources(place.options), fields) for name, place in past.placements.items()
    }
