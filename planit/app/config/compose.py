"""Hydra: composes the configuration and hands it to what the verb does with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from planit.app.config.places import primary
from planit.app.config.refusals import (
    OTHER_PROGRAM,
    as_config_error,
    is_hydras,
    of_hydras_own,
    of_reading,
    unknown_config,
)
from planit.app.config.yaml_files import unreadable
from planit.errors import ConfigError
from planit.job.hydra.hydra_config import put_back_after
from planit.job.hydra.internals import VERSION_BASE, flags_and_overrides, register_resolver
from planit.nodes.step_folder import placeholder

if TYPE_CHECKING:
    from planit.app.config.plans import Composed


class TaskFunction(Protocol):
    """What is done with one composed configuration, or with all of those of a sweep."""

    def __call__(self, config: DictConfig) -> None:
        """One configuration."""

    def sweep(
        self, branches: Iterable[Composed], config: DictConfig, overrides: Sequence[str]
    ) -> None:
        """All configurations of a sweep."""

    def batch(
        self,
        configs: Sequence[DictConfig],
        overrides: Sequence[Sequence[str]],
        first: int,
        objective: str | None,
    ) -> list[Any]:
        """A batch of another sweeper's configurations."""


# A describe leaves no folder behind, and printing is planit's own business. The last three hold
# against a plan's own file too: Hydra would build callbacks and log handlers while it composes.
_QUIET = (
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra.job.chdir=false",
    "hydra/job_logging=none",
    "hydra/hydra_logging=none",
    "hydra.job_logging.root=null",
    "hydra.hydra_logging.root=null",
    "hydra.callbacks='???'",
)


def run_app(task: TaskFunction, arguments: Sequence[str], config_dir: str | None) -> None:
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

    vars(guarded).update(sweep=task.sweep, batch=task.batch)  # for planit's sweeper and launcher
    app = hydra.main(**VERSION_BASE, config_path=str(folder), config_name=name)(guarded)
    flags, given = flags_and_overrides(arguments)
    _refuse_planits_own(given)
    words = [*map(open_step, given), *flags]
    own = list(_QUIET)
    if _is_multirun(words) and not _chooses_sweeper(folder / f"{name}.yaml", words):
        own.append("hydra/sweeper=planit")
    with (
        _argv([sys.argv[0], *own, *words]),
        _errors_reach_us(),
        put_back_after(),
        _folders_by_name(),
        _project_importable(),
    ):
        try:
            app()
            if escaped:
                raise escaped[0]
        except Exception as error:
            if (refusal := _refusal_of(error, folder, name, words)) is None:
                raise
            raise refusal from error


def _refusal_of(
    error: Exception, folder: Path, name: str, words: Sequence[str]
) -> ConfigError | None:
    """What Hydra, OmegaConf and YAML refuse as an error of planit's; None for anything else."""
    refusal: ConfigError | None = None
    if isinstance(error, MissingConfigException):
        refusal = unknown_config(error)
    elif str(error).startswith("Could not override 'plan'. No match in the defaults list"):
        message = f"{folder / name}.yaml has no plan in its defaults list"
        refusal = ConfigError(message, hint=OTHER_PROGRAM)
    elif isinstance(error, HydraException | OmegaConfBaseException):
        refusal = as_config_error(error)
    elif isinstance(error, UnicodeDecodeError | yaml.YAMLError | RecursionError):
        refusal = unreadable(folder, name, words) or of_reading(error)
    elif isinstance(error, AssertionError | OSError) and is_hydras(error):
        refusal = unreadable(folder, name, words)
    elif isinstance(error, TypeError | ValueError) and is_hydras(error):
        refusal = of_hydras_own(error, words)
    return refusal


def _refuse_planits_own(overrides: Sequence[str]) -> None:
    """Raise ConfigError for what planit sets itself, so that it would have no effect."""
    own = {text.partition("=")[0] for text in _QUIET}
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0]
        if any(key == one or key.startswith(f"{one}.") for one in own):
            hint = "runs_dir=DIR is where runs go" if key == "hydra.run.dir" else None
            raise ConfigError(f"{key} is set by planit itself", hint=hint)


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun", "hydra.mode=MULTIRUN") for argument in arguments)


def _chooses_sweeper(primary_config: Path, arguments: Sequence[str]) -> bool:
    """Whether the user already says who sweeps or launches."""
    if any(argument.startswith(("hydra/sweeper", "hydra/launcher")) for argument in arguments):
        return True
    try:
        loaded = OmegaConf.load(primary_config)
        defaults = OmegaConf.to_yaml(
            loaded.get("defaults") if isinstance(loaded, DictConfig) else {}
        )
    except (OSError, RecursionError, ValueError, yaml.YAMLError, OmegaConfBaseException):
        return False  # Hydra will find the same
    return "hydra/sweeper" in defaults or "hydra/launcher" in defaults


def open_step(argument: str) -> str:
    """Let overrides add what the composed files need not have.

    ``plan.steps.NAME.slurm.FIELD=...`` sets a field that the plan's file does not, and
    ``sweep.join=...`` and ``share=...`` are planit's own; ``share=false`` is sweep.share.
    """
    key, _, value = argument.partition("=")
    parts = key.split(".")
    if key.startswith("plan.steps.") and len(parts) >= 5 and parts[3] == "slurm":
        return f"++{argument}"
    if key == "share":
        return f"++sweep.{argument}" if value.lower() in ("true", "false") else f"++{argument}"
    return f"++{argument}" if parts[0] == "sweep" and len(parts) == 2 else argument


def given_overrides() -> list[str]:
    """The overrides that the user gave, without planit's own."""
    return [text for text in HydraConfig.get().overrides.task if text not in _QUIET]


@contextmanager
def config_files() -> Iterator[None]:
    """Let Hydra find the files of conf/ without composing a configuration."""
    with hydra.initialize_config_dir(str(primary(None)[0]), **VERSION_BASE):
        yield


@contextmanager
def _argv(arguments: list[str]) -> Iterator[None]:
    before = sys.argv
    sys.argv = arguments
    try:
        yield
    finally:
        sys.argv = before


@contextmanager
def _folders_by_name() -> Iterator[None]:
    """``${dir:STEP}`` in a configuration, which stands for a step's folder until submission."""
    before = OmegaConf.has_resolver("dir")
    if not before:
        register_resolver("dir", placeholder)
    try:
        yield
    finally:
        if not before:
            OmegaConf.clear_resolver("dir")


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
