"""SLURM presets by name: a key of the configuration, or a file of the group slurm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from planit.errors import ConfigError, suggest
from planit.nodes.arguments import TARGET


def by_name(config: DictConfig, name: str) -> tuple[str | None, dict[str, Any]]:
    """The SLURM arguments that a name stands for, and the key of the configuration, if it is one.

    Raises:
        ConfigError: there are none of this name.
    """
    node = OmegaConf.select(config, name)
    if isinstance(node, DictConfig):
        return name, _content(node)
    return None, from_group(name, [str(key) for key in config if _is_preset(config, str(key))])


def from_group(name: str, other_names: Sequence[str] = ()) -> dict[str, Any]:
    """A preset of the group slurm, from the search path that Hydra has at this moment.

    Raises:
        ConfigError: there is none of this name; `other_names` are suggested too.
    """
    loader = GlobalHydra.instance().config_loader()
    names = loader.get_group_options("slurm")
    if name not in names:
        hint = suggest(name, {*names, *other_names})
        raise ConfigError(f"unknown SLURM preset {name!r}", hint=hint)
    return _content(loader.load_configuration(f"slurm/{name}", [], RunMode.RUN).slurm)


def _content(node: Any) -> dict[str, Any]:
    content = OmegaConf.to_container(node, resolve=True)  # a step may fill in what is missing
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _is_preset(config: DictConfig, key: str) -> bool:
    if OmegaConf.is_missing(config, key) or OmegaConf.is_interpolation(config, key):
        return False
    node = config[key]
    return isinstance(node, DictConfig) and "SlurmArgs" in str(node.get(TARGET))
