"""Hydra: composes the configuration and hands it to what the verb does with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from planit.app.build import build_plan
from planit.app.places import primary
from planit.errors import ConfigError, suggest
from planit.plan import Plan

Task = Callable[[DictConfig], None]

# A describe leaves no folder behind, and printing is planit's own business.
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job.chdir=false",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)


def run_app(task: Task, arguments: Sequence[str], config_dir: str | None) -> None:
    """Run `task` on the configuration that `arguments` (Hydra's own) ask for.

    Raises:
        ConfigError: what Hydra or OmegaConf refuse, as one line and a hint.
    """
    folder, name = primary(config_dir)
    escaped: list[Exception] = []

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except Exception as error:  # Hydra would print a line of its own before it raises it
            escaped.append(error)

    app = hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(guarded)
    overrides = [open_step(argument) for argument in arguments]
    with _argv([sys.argv[0], *_QUIET, *overrides]), _errors_reach_us():
        try:
            app()
            if escaped:
                raise escaped[0]
        except MissingConfigException as error:
            raise _unknown_config(error) from error
        except yaml.MarkedYAMLError as error:
            raise _yaml_error(error) from error
        except (HydraException, OmegaConfBaseException) as error:
            raise as_config_error(error) from error


def open_step(argument: str) -> str:
    """Let ``plan.steps.NAME.slurm.FIELD=...`` add a field that the plan's file does not set."""
    key = argument.partition("=")[0]
    parts = key.split(".")
    if key.startswith("plan.steps.") and len(parts) >= 5 and parts[3] == "slurm":
        return f"++{argument}"
    return argument


def plan_of(config: DictConfig) -> Plan:
    """The plan in a composed configuration.

    Raises:
        ConfigError: with the config key of whatever is wrong.
    """
    node = config.get("plan")
    if node is None:
        raise ConfigError(
            "the configuration has no plan",
            hint="choose one with plan=..., or name planit's primary config planit.yaml"
            " if conf/config.yaml belongs to another program",
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
    plain = {str(key): value for key, value in content.items()}
    return build_plan(plain, lambda preset: _preset(config, preset), hydra.utils.instantiate)


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


def _is_slurm(config: DictConfig, key: str) -> bool:
    node = config._get_node(key)
    return isinstance(node, DictConfig) and "SlurmArgs" in str(node.get("_target_"))


def command_line() -> list[str]:
    """The overrides that the user gave, without planit's own."""
    return [text for text in HydraConfig.get().overrides.task if text not in _QUIET]


def _unknown_config(error: MissingConfigException) -> ConfigError:
    missing = str(error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, name = missing.rpartition("/")
    if not group:
        return as_config_error(error)
    noun = {"slurm": "SLURM preset", "plan": "plan"}.get(group, f"{group} config")
    hint = suggest(name, error.options or [])
    return ConfigError(f"unknown {noun} {name!r}", hint=hint)


def as_config_error(error: BaseException) -> ConfigError:
    """A refusal of Hydra or OmegaConf as one line, with whatever else it said as the hint."""
    text = str(error)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text += "\n" + str(error.__cause__)
    key = getattr(error, "full_key", None)
    if key and not isinstance(error, HydraException):
        text = f"{key}: {text}"
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    if not lines:
        return ConfigError(type(error).__name__)
    hint = "; ".join(lines[1:]).replace(":; ", ": ")
    return ConfigError(lines[0], hint=hint or None)


def _yaml_error(error: yaml.MarkedYAMLError) -> ConfigError:
    mark = error.problem_mark or error.context_mark
    where = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    return ConfigError(f"{where}{error.problem or error.context}", hint="mend the YAML")


@contextmanager
def _argv(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _errors_reach_us() -> Iterator[None]:
    """Hydra prints errors and exits, unless it is asked for full ones; then it raises them."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = before
