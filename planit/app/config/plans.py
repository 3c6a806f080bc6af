"""From a composed configuration to a `Plan`: resolves it, and finds SLURM presets by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from planit.app.config.build import Builder
from planit.app.config.refusals import OTHER_PROGRAM, as_config_error
from planit.app.sweeps.branches import swept_values
from planit.errors import ConfigError, suggest
from planit.plan import Plan


class Plans:
    """Builds the plans of one or many configurations; what they share is built once."""

    def __init__(self) -> None:
        self._config = OmegaConf.create()
        self._builder = Builder(self._preset, _swept_values)

    def of(self, config: DictConfig, content: Mapping[str, Any] | None = None) -> Plan:
        """The plan in a composed configuration.

        Args:
            config: the configuration.
            content: the resolved content of its key ``plan``, if that is known already.

        Raises:
            ConfigError: with the config key of whatever is wrong.
        """
        self._config = config
        return self._builder.plan(resolved(config) if content is None else content)

    def _preset(self, name: str) -> Mapping[str, Any]:
        return _preset(self._config, name)


def plan_of(config: DictConfig) -> Plan:
    """The plan in one composed configuration."""
    return Plans().of(config)


def resolved(config: DictConfig) -> dict[str, Any]:
    """The resolved content of the key ``plan``. Raises ConfigError."""
    node = config.get("plan")
    if node is None:
        raise ConfigError(
            "the configuration has no plan",
            hint=OTHER_PROGRAM,
        )
    if not isinstance(node, DictConfig):
        raise ConfigError(f"plan must be a mapping, not {node!r}", hint="see conf/plan/thesis.yaml")
    try:
        content = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        key = str(error.full_key or error).removeprefix("plan.")
        raise ConfigError(
            f"{key} is not set", hint=f"set {_preset_key(config, key)}=..."
        ) from error
    except OmegaConfBaseException as error:
        raise as_config_error(error) from error
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _preset_key(config: DictConfig, key: str) -> str:
    """The mount (``slurm``, ``cpu``) that a missing value of a step really comes from."""
    step, _, name = key.rpartition(".slurm_args.")
    if step:
        node: Any = OmegaConf.to_container(config.plan, resolve=False)
        try:
            for part in step.split("."):
                node = node[part]
            reference = node["slurm_args"]
        except (KeyError, TypeError):
            return key
        if isinstance(reference, str) and reference.startswith("${"):
            return f"{reference[2:-1]}.{name}"
    return key


def _preset(config: DictConfig, name: str) -> Mapping[str, Any]:
    """SLURM arguments by name: a mount of the configuration, else a preset of the group."""
    node = config.get(name)
    if node is None:
        mounts = [str(key) for key in config if _is_slurm(config, str(key))]
        node = group_preset(name, mounts)
    content = OmegaConf.to_container(node, resolve=True)  # a step may fill in what is missing
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def group_preset(name: str, also_known: Sequence[str] = ()) -> DictConfig:
    """A preset of the group slurm, from wherever Hydra looks at this moment.

    Raises:
        ConfigError: there is none of this name; `also_known` are suggested too.
    """
    loader = GlobalHydra.instance().config_loader()
    known = loader.get_group_options("slurm")
    if name not in known:
        raise ConfigError(
            f"unknown SLURM preset {name!r}", hint=suggest(name, {*known, *also_known})
        )
    loaded = loader.load_configuration(f"slurm/{name}", [], RunMode.RUN)
    preset: DictConfig = loaded.slurm
    return preset


def _swept_values(text: str, key: str) -> list[Any]:

    return swept_values(text, key, GlobalHydra.instance().config_loader())


def _is_slurm(config: DictConfig, key: str) -> bool:
    node = config._get_node(key)
    return isinstance(node, DictConfig) and "SlurmArgs" in str(node.get("_target_"))
