"""Hydra: composes the configuration and hands it to what the verb does with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

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

if TYPE_CHECKING:
    from planit.app.branches import Composed


class Task(Protocol):
    """What is done with one composed configuration, or with all of those of a sweep."""

    def __call__(self, config: DictConfig) -> None:
        """One configuration."""

    def sweep(
        self, branches: Iterable[Composed], config: DictConfig, overrides: Sequence[str]
    ) -> None:
        """All configurations of a sweep."""


# A describe leaves no folder behind, and printing is planit's own business.
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job.chdir=false",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
)

_OTHER_PROGRAM = (
    "choose one in its defaults list, or name planit's primary config planit.yaml"
    " if conf/config.yaml belongs to another program"
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

    vars(guarded)["sweep"] = task.sweep  # for planit's own sweeper
    app = hydra.main(version_base="1.3", config_path=str(folder), config_name=name)(guarded)
    words = [open_step(argument) for argument in arguments]
    own = list(_QUIET)
    if _is_multirun(words) and not _chooses_sweeper(folder / f"{name}.yaml", words):
        own.append("hydra/sweeper=planit")
    with (
        _argv([sys.argv[0], *_beside_overrides(words, own)]),
        _errors_reach_us(),
        _project_importable(),
    ):
        try:
            app()
            if escaped:
                raise escaped[0]
        except MissingConfigException as error:
            raise _unknown_config(error) from error
        except yaml.MarkedYAMLError as error:
            raise _yaml_error(error) from error
        except (HydraException, OmegaConfBaseException) as error:
            if str(error).startswith("Could not override 'plan'. No match in the defaults list"):
                message = f"{folder / name}.yaml has no plan in its defaults list"
                raise ConfigError(message, hint=_OTHER_PROGRAM) from error
            raise as_config_error(error) from error


def _beside_overrides(words: list[str], own: list[str]) -> list[str]:
    """Put `own` overrides before the user's: Hydra wants all of them in one piece."""
    places = (i for i, word in enumerate(words) if "=" in word and not word.startswith("-"))
    first = next(places, len(words))
    return [*words[:first], *own, *words[first:]]


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun", "hydra.mode=MULTIRUN") for argument in arguments)


def _chooses_sweeper(primary_config: Path, arguments: Sequence[str]) -> bool:
    """Whether the user already says who sweeps or launches."""
    if any(argument.startswith(("hydra/sweeper", "hydra/launcher")) for argument in arguments):
        return True
    try:
        loaded = OmegaConf.load(primary_config)
    except (OSError, yaml.YAMLError):
        return False
    defaults = loaded.get("defaults") or [] if isinstance(loaded, DictConfig) else []
    return any("hydra/sweeper" in str(item) or "hydra/launcher" in str(item) for item in defaults)


def open_step(argument: str) -> str:
    """Let overrides add what the composed files need not have.

    ``plan.steps.NAME.slurm.FIELD=...`` sets a field that the plan's file does not, and
    ``sweep.join=...`` and ``share=...`` are planit's own.
    """
    key = argument.partition("=")[0]
    parts = key.split(".")
    if key.startswith("plan.steps.") and len(parts) >= 5 and parts[3] == "slurm":
        return f"++{argument}"
    if key == "share":
        return f"++sweep.{argument}"
    return f"++{argument}" if key in ("sweep.join", "sweep.share") else argument


def plan_of(config: DictConfig) -> Plan:
    """The plan in a composed configuration.

    Raises:
        ConfigError: with the config key of whatever is wrong.
    """
    node = config.get("plan")
    if node is None:
        raise ConfigError(
            "the configuration has no plan",
            hint=_OTHER_PROGRAM,
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
    return build_plan(
        plain, lambda preset: _preset(config, preset), _swept_values, hydra.utils.instantiate
    )


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
    from planit.app.branches import swept_values

    return swept_values(text, key, GlobalHydra.instance().config_loader())


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
def _project_importable() -> Iterator[None]:
    """The working directory on sys.path, as ``python -m`` has it and a console script has not."""
    here = str(Path.cwd())
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)


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
