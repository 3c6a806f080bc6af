"""SLURM presets: by name, as a key of the configuration or a file of conf/slurm, and completed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields as fields_of
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from planit.errors import ConfigError, suggest
from planit.nodes import SlurmArgs
from planit.nodes.arguments import TARGET
from planit.nodes.flags import on_top
from planit.nodes.resources import KNOWN_OPTIONS, as_options
from planit.nodes.slurm_args import changed, resources_of

MISSING = "???"  # how a configuration says that a value has to be given
_GROUP = "slurm"
_DEFAULTS = "slurm_defaults"
_FIELDS = tuple(field.name for field in fields_of(SlurmArgs))


class Presets:
    """Presets by name; a file is composed once."""

    def __init__(self) -> None:
        self._files: dict[str, dict[Any, Any]] = {}

    def by_name(self, config: DictConfig, name: str) -> tuple[str | None, dict[str, Any]]:
        """The SLURM arguments that a name stands for, and the key of `config`, if it is one.

        Raises:
            ConfigError: there are none of this name.
        """
        node = OmegaConf.select(config, name)
        if isinstance(node, DictConfig):
            return name, _content(node)
        keys = [str(key) for key in config if _is_preset(config, str(key))]
        return None, self.from_group(config, name, keys)

    def from_group(
        self, config: DictConfig, name: str, other_names: Collection[str] = ()
    ) -> dict[str, Any]:
        """A preset of the group slurm, from the search path that Hydra has at this moment.

        Args:
            config: what it may refer to.
            name: of the preset, with its folder: ``vsc/wice_a100``.
            other_names: are suggested too, if there is none of this name.

        Raises:
            ConfigError: there is none.
        """
        if name not in self._files:
            loader = GlobalHydra.instance().config_loader()
            if not is_in_group(loader, name):
                hint = suggest(name, {*names_in_group(loader), *other_names})
                raise ConfigError(f"unknown SLURM preset {name!r}", hint=hint)
            self._files[name] = composed(loader, name)
        return _content(OmegaConf.create(self._files[name], parent=config))


def is_in_group(loader: ConfigLoader, name: str) -> bool:
    """Whether the group slurm has a preset of this name, which may have folders in it."""
    folder, _, last = f"{_GROUP}/{name}".rpartition("/")
    return last in loader.get_group_options(folder)


def names_in_group(loader: ConfigLoader, folder: str = "") -> Iterator[str]:
    """The names of all presets of the group slurm, with their folders."""
    group = f"{_GROUP}/{folder}".rstrip("/")
    yield from (f"{folder}{name}" for name in loader.get_group_options(group))
    for inner in loader.get_group_options(group, ObjectType.GROUP):
        yield from names_in_group(loader, f"{folder}{inner}/")


def composed(loader: ConfigLoader, name: str) -> dict[Any, Any]:
    """What ``slurm=NAME`` makes of the key slurm, not resolved.

    Raises:
        ConfigError: it is not a mapping.
    """
    node = loader.load_configuration(None, [f"+{_GROUP}={name}"], RunMode.RUN).get(_GROUP)
    content = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node
    if not isinstance(content, dict):
        raise ConfigError(f"{_GROUP}/{name}.yaml is not a mapping of SLURM arguments")
    return content


def slurm_defaults(config: DictConfig) -> dict[str, Any]:
    """``slurm_defaults``: fields of SlurmArgs for every preset that does not set them itself.

    Raises:
        ConfigError: not a mapping, or an unknown field.
    """
    node = config.get(_DEFAULTS)
    content = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(content, Mapping | None):
        message = f"{_DEFAULTS} must be a mapping of SLURM arguments, not {content!r}"
        raise ConfigError(message, hint=f"{_DEFAULTS}: {{account: NAME}}")
    for name in content or {}:
        if name not in _FIELDS:
            hint = suggest(str(name), _FIELDS)
            raise ConfigError(f"{_DEFAULTS}: SlurmArgs has no field {name!r}", hint=hint)
    return {str(name): item for name, item in (content or {}).items() if item is not None}


def take_default(config: DictConfig, key: str) -> bool:
    """Set a field of a preset that is missing to that of ``slurm_defaults``, if there is one."""
    parent, _, name = key.rpartition(".")
    preset = OmegaConf.select(config, parent) if parent else None
    if not isinstance(preset, DictConfig) or not ("partition" in preset or _has_class(preset)):
        return False
    if name not in slurm_defaults(config):
        return False
    OmegaConf.update(config, key, f"${{{_DEFAULTS}.{name}}}")
    return True


def completed(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """SLURM arguments with the `defaults` of what they do not set themselves.

    Args:
        fields: those of SlurmArgs, or a dict that submitit understands.
        defaults: fields of SlurmArgs.
    """
    if not defaults:
        return dict(fields)
    if "slurm_time" in fields:
        return _completed_dict(fields, defaults)
    own = {name: item for name, item in fields.items() if item is not None and item != MISSING}
    more, own_more = defaults.get("additional_params"), own.get("additional_params") or {}
    elsewhere = {name.replace("-", "_") for name in own_more}
    new = {name: item for name, item in defaults.items() if name not in elsewhere}
    if isinstance(more, Mapping) and isinstance(own_more, Mapping):
        new["additional_params"] = {n: v for n, v in more.items() if n not in own} | dict(own_more)
        own.pop("additional_params", None)
    return {**fields, **new, **own}


def _completed_dict(fields: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    own = as_options(fields)
    before = changed(resources_of({"slurm_time": own.get("time")}), defaults)
    options = on_top(before.options, own)
    return {(f"slurm_{n}" if n in KNOWN_OPTIONS else n): item for n, item in options.items()}


def _content(node: Any) -> dict[str, Any]:
    content = OmegaConf.to_container(node, resolve=True)  # a step may fill in what is missing
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _is_preset(config: DictConfig, key: str) -> bool:
    if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
        return False
    node = config[key]
    return isinstance(node, DictConfig) and _has_class(node)


def _has_class(node: DictConfig) -> bool:
    return "SlurmArgs" in str(node.get(TARGET))
