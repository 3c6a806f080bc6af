"""From a composed configuration to a `Plan`: resolves it, and finds SLURM presets by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, SCMode
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from planit.app.config.build import Builder, Swept
from planit.app.config.build import Presets as PresetsByName
from planit.app.config.presets import Presets, slurm_defaults, take_default
from planit.app.config.refusals import as_config_error
from planit.app.config.written import Written, preset_keys
from planit.errors import ConfigError
from planit.job.hydra.hydra_config import StepHydra
from planit.nodes import SlurmSpec
from planit.nodes.arguments import Structured
from planit.plan import Plan


@dataclass(frozen=True)
class Composed:
    """One configuration of a sweep.

    Attributes:
        values: the swept overrides, as text.
        config: the configuration; of many branches the same object, so use it before the next.
        content: the resolved content of its key ``plan``, where that is known without `config`,
            which then does not hold this branch's values.
        preset_keys: of its plan, where they are known without `config`.
        hydra: what its steps' jobs set `HydraConfig` up from.
    """

    values: Mapping[str, str]
    config: DictConfig
    content: dict[str, Any] | None = None
    preset_keys: Mapping[str, str] | None = None
    hydra: StepHydra | None = None


class Plans:
    """Builds the plans of one or many configurations; what they share is built once.

    Args:
        builder: makes what builds them.
    """

    def __init__(self, builder: Callable[[PresetsByName, Swept], Builder] = Builder) -> None:
        self._config = OmegaConf.create()
        presets = Presets()
        self._builder = builder(lambda name: presets.by_name(self._config, name), _swept_values)

    def of(self, branch: Composed) -> Plan:
        """The plan of a configuration of a sweep.

        Raises:
            ConfigError: with the config key of whatever is wrong.
        """
        if branch.content is None or self._config is not branch.config:
            self._config = branch.config
            self._builder.defaults = slurm_defaults(branch.config)
        content, keys = branch.content, branch.preset_keys
        if content is None:
            content = self.content_of(branch.config)
        if keys is None:
            keys = preset_keys(Written(branch.config))
        return self._builder.plan(content, keys)

    def content_of(self, config: DictConfig) -> dict[str, Any]:
        """The resolved content of the key ``plan``; raises as `resolved` does."""
        return resolved(config)


def job_of(
    config: DictConfig, value: Any, changes: Any, where: str
) -> tuple[str | None, SlurmSpec]:
    """The SLURM arguments of a job, from a preset's name or a mapping and changes on top of it.

    The first is the preset's key in the configuration, if it has one.

    Raises:
        ConfigError: with the config key `where`.
    """
    builder = Builder(lambda name: Presets().by_name(config, name), _swept_values)
    builder.defaults = slurm_defaults(config)
    return builder.slurm_args(value, changes, where)


def plan_of(config: DictConfig, plans: Plans | None = None) -> Plan:
    """The plan in one composed configuration."""
    return (plans or Plans()).of(Composed({}, config))


def resolved(config: DictConfig) -> dict[str, Any]:
    """The resolved content of the key ``plan``.

    Raises:
        ConfigError: there is no plan, or a value of it is missing or cannot be resolved.
    """
    node = config.get("plan")
    if node is None:
        raise ConfigError("the configuration has no plan", hint="plan=NAME")
    if not isinstance(node, DictConfig):
        hint = "a file conf/plan/NAME.yaml is chosen by plan=NAME, or in the defaults list"
        raise ConfigError(f"plan must be a mapping, not {node!r}", hint=hint)
    try:
        content = _content(node)
    except MissingMandatoryValue as error:
        key = str(error.full_key)
        if take_default(config, key):
            return resolved(config)
        raise ConfigError(f"{key} is not set", hint=f"set {key}=...") from error
    except OmegaConfBaseException as error:
        raise as_config_error(error) from error
    assert isinstance(content, dict)
    steps = content.get("steps")
    for name in steps if isinstance(steps, dict) else ():
        if not isinstance(name, str):
            hint = f'put it in quotes: "{name}"'
            raise ConfigError(f"plan.steps: the name {name!r} is not text", hint=hint)
    return {str(key): value for key, value in content.items()}


def _content(node: Any) -> Any:
    """A resolved configuration as plain data; a structured config keeps its class."""
    if not OmegaConf.is_config(node):
        return node
    cls = OmegaConf.get_type(node)
    if isinstance(node, DictConfig) and cls is not None and cls is not dict:
        return Structured({str(key): _content(node[key]) for key in node}, cls)
    plain = OmegaConf.to_container(
        node, resolve=True, throw_on_missing=True, structured_config_mode=SCMode.DICT_CONFIG
    )
    return _with_structured(plain)


def _with_structured(plain: Any) -> Any:
    """Plain data with the structured configs in it made plain too."""
    if isinstance(plain, dict):
        return {key: _with_structured(item) for key, item in plain.items()}
    if isinstance(plain, list):
        return [_with_structured(item) for item in plain]
    return _content(plain)


def _swept_values(text: str, key: str) -> list[Any]:
    """The values of Hydra's sweep syntax, such as ``range(0,10)`` or ``choice(a,b)``.

    Raises:
        ConfigError: not the syntax of a sweep, or not a finite one.
    """
    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    try:
        override = parser.parse_overrides([f"{key}={text}"])[0]
        if not override.is_sweep_override() or not override.is_discrete_sweep():
            raise ConfigError(
                f"{key}: {text!r} is not a list of values", hint="write a list, or range(0,10)"
            )
        return list(override.sweep_iterator())
    except HydraException as error:
        raise ConfigError(f"{key}: {text!r} cannot be read: {error}") from error
