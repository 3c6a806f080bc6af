"""Hydra: composes the configuration and hands it to what the verb does with it."""

from __future__ import annotations

import os
import re
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

from planit.app.config.overrides import opened, refuse_flags, refuse_planits_own
from planit.app.config.primary_config import STORED, Primary
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


def run_app(
    task: TaskFunction,
    arguments: Sequence[str],
    config_dir: str | None,
    config_name: str | None = None,
) -> None:
    """Run `task` on the configuration that `arguments` (Hydra's own) ask for.

    Args:
        task: what is done with it.
        arguments: overrides, and flags of Hydra's but for those of the next two.
        config_dir: the folder of the user's configuration, if it is not the usual one.
        config_name: the primary config in it, if it is not the usual one.

    Raises:
        ConfigError: what Hydra or OmegaConf refuse, as one line and a hint.
    """
    escaped: list[Exception] = []

    def guarded(config: DictConfig) -> None:
        try:
            task(config)
        except Exception as error:  # Hydra would print a line of its own before it raises it
            escaped.append(error)

    vars(guarded).update(sweep=task.sweep, batch=task.batch)  # for planit's sweeper and launcher
    flags, given = flags_and_overrides(arguments)
    refuse_flags(flags, given)
    refuse_planits_own(given, _QUIET)
    primary = Primary.read(config_dir, config_name, given)
    app = hydra.main(**VERSION_BASE, config_path=str(primary.folder), config_name=STORED)(guarded)
    words = [*(opened(text, primary.presets) for text in given), *flags]
    own = list(_QUIET)
    if _is_multirun(words) and not primary.chooses_sweeper:
        own.append("hydra/sweeper=planit")
    with (
        _argv([sys.argv[0], *own, *words]),
        _errors_reach_us(),
        put_back_after(),
        _folders_by_name(),
        _project_importable(),
        primary.stored(),
    ):
        primary.import_modules()
        try:
            app()
            if escaped:
                raise escaped[0]
        except Exception as error:
            if (refusal := _refusal_of(error, primary, words)) is None:
                raise
            raise refusal from error


def _refusal_of(error: Exception, primary: Primary, words: Sequence[str]) -> ConfigError | None:
    """What Hydra, OmegaConf and YAML refuse as an error of planit's; None for anything else."""
    refusal: ConfigError | None = None
    if isinstance(error, ConfigError):
        refusal = error
    elif isinstance(error, MissingConfigException):
        refusal = unknown_config(error)
    elif str(error).startswith("Could not override 'plan'. No match in the defaults list"):
        message = f"{primary.path} has a plan of its own, so none can be chosen"
        refusal = ConfigError(message, hint="move it to conf/plan/NAME.yaml")
    elif isinstance(error, HydraException | OmegaConfBaseException):
        refusal = as_config_error(error)
    elif isinstance(error, UnicodeDecodeError | yaml.YAMLError | RecursionError):
        refusal = unreadable(primary.folder, primary.path.stem, words) or of_reading(error)
    elif isinstance(error, AssertionError | OSError) and is_hydras(error):
        refusal = unreadable(primary.folder, primary.path.stem, words)
    elif isinstance(error, TypeError | ValueError) and is_hydras(error):
        refusal = of_hydras_own(error, words)
    return refusal and _explained(refusal, primary)


def _explained(refusal: ConfigError, primary: Primary) -> ConfigError:
    """A refusal that names the primary config, and what follows if that is another program's."""
    name, path = primary.path.stem, primary.path
    message, hint = (
        refusal.message.replace(STORED, name),
        (refusal.hint or "").replace(STORED, name),
    )
    lacks_key = message.startswith("Could not override") or "nterpolation key" in message
    if primary.left_out is not None and lacks_key:
        hint = f"{path} is not used, as {primary.left_out}; {OTHER_PROGRAM}; {hint}"
    elif primary.may_be_anothers and re.split(r"\W", message, maxsplit=1)[0] in primary.content:
        hint = (
            f"if {path} is another program's, write a conf/planit.yaml, which may be empty; {hint}"
        )
    return type(refusal)(message, hint=hint.removesuffix("; ") or None)


def _is_multirun(arguments: Sequence[str]) -> bool:
    return any(argument in ("-m", "--multirun", "hydra.mode=MULTIRUN") for argument in arguments)


def given_overrides() -> list[str]:
    """The overrides that the user gave, without planit's own."""
    return [text for text in HydraConfig.get().overrides.task if text not in _QUIET]


@contextmanager
def config_files() -> Iterator[None]:
    """Let Hydra find the files of conf/ without composing a configuration.

    Raises:
        ConfigError: the primary config cannot be read, or what it imports be imported.
    """
    primary = Primary.read(None)
    with (
        hydra.initialize_config_dir(str(primary.folder), **VERSION_BASE),
        _project_importable(),
    ):
        primary.import_modules()
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
