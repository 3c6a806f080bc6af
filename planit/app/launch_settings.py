"""What is set below ``hydra.launcher``, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from omegaconf import DictConfig, OmegaConf

from planit.app.config.places import conf_dir
from planit.app.config.presets import MISSING, composed, is_in_group, names_in_group
from planit.app.submitting import freeze_of
from planit.backends import registry
from planit.backends.base import Backend
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, PlanError, PlanitError, suggest
from planit.nodes import Resources, SlurmArgs
from planit.nodes.arguments import TARGET
from planit.nodes.resources import KNOWN_OPTIONS
from planit.nodes.slurm_args import changed, resources_of
from planit.record.index import DEFAULT_BASE

if TYPE_CHECKING:
    from planit.submit.project import Freeze

# Without a preset, as submitit's launcher for Hydra has it; the partition is Slurm's own choice.
_DEFAULTS = Resources({"time": "01:00:00"})
# The one sweeper of Hydra that does nothing with what jobs return.
_ASKS_NOTHING = "BasicSweeper"


@dataclass(frozen=True)
class LaunchSettings:
    """How a batch is run.

    Attributes:
        plan: its name.
        slurm_args: of every job, as a dict that submitit understands.
        backend, backend_name: who takes the jobs, and the name that chose it.
        wait: whether the sweeper waits for them.
        base: folder that run directories go to.
        max_concurrent: how many run at once.
        share, freeze: as for every run.
    """

    plan: str
    slurm_args: Mapping[str, Any]
    backend: Backend | InProcess
    backend_name: str
    wait: bool
    base: Path
    max_concurrent: int | None
    share: str | None
    freeze: Freeze

    @property
    def is_requeued(self) -> bool:
        """Whether a job that has run out of time begins anew."""
        return bool(self.slurm_args.get("max_requeues"))

    @classmethod
    def of(
        cls, given: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
    ) -> LaunchSettings:
        """The settings of a program's launcher.

        Args:
            given: what is set below ``hydra.launcher``.
            config: the program's configuration.
            loader: finds its presets.

        Raises:
            PlanitError: a setting is wrong, or has no meaning here.
        """
        if given["objective"] is not None:
            raise ConfigError(
                "hydra.launcher.objective is for plans: what a program returns is its value",
                hint="leave it out",
            )
        backend = _backend(given)
        if not given["wait"]:
            _refuse_not_to_wait(backend, config)
        return cls(
            plan=str(given["name"] or config.hydra.job.name),
            slurm_args=_slurm_args(given, loader),
            backend=backend,
            backend_name=given["backend"],
            wait=given["wait"],
            base=Path(given["runs_dir"] or DEFAULT_BASE),
            max_concurrent=given["max_concurrent"],
            share=given["share"],
            freeze=freeze_of(given["freeze"], given["freeze_limit_mb"]),
        )


def told(error: PlanitError) -> str:
    """An error and its hint as one line, in which settings are called as the launcher has them."""
    text = " ".join(str(error).splitlines()).replace("backend.name=", "hydra.launcher.backend=")
    text = re.sub(r"(?<![\w.])backend\.", "hydra.launcher.backend_settings.", text)
    return re.sub(r"(?<![\w.])(?=(freeze|freeze_limit_mb|share)=)", "hydra.launcher.", text)


def _backend(given: Mapping[str, Any]) -> Backend | InProcess:
    settings = {k: v for k, v in given["backend_settings"].items() if v is not None}
    detach = settings.pop("detach")
    backend = registry.create(given["backend"], settings)
    if isinstance(backend, InProcess) or detach or not given["wait"]:
        return backend
    return backend.attached()


def _refuse_not_to_wait(backend: Backend | InProcess, config: DictConfig) -> None:
    """Raise ConfigError where somebody needs what the jobs return, or their end."""
    setting = "hydra.launcher.wait=false"
    sweeper = config.hydra.sweeper
    if isinstance(backend, InProcess):
        raise ConfigError(
            f"{setting} has no meaning with backend={backend.name}", hint="leave it out"
        )
    if str(sweeper.get(TARGET)).rpartition(".")[2] != _ASKS_NOTHING:
        raise ConfigError(
            f"{setting}: {sweeper.get(TARGET)} needs what the jobs return",
            hint="wait for them, or use hydra/sweeper=basic",
        )
    if sweeper.get("max_batch_size") is not None:
        raise ConfigError(
            f"{setting}: the next batch of hydra.sweeper.max_batch_size would wait for this one",
            hint="use hydra.launcher.max_concurrent=N",
        )


def _slurm_args(given: Mapping[str, Any], loader: ConfigLoader) -> dict[str, Any]:
    """The preset with the fields on top, as a dict that submitit understands."""
    names = [field.name for field in fields(SlurmArgs)]
    own = {name: given[name] for name in names if given[name] not in (None, {})}
    try:
        base = _DEFAULTS if given["preset"] is None else _preset(given["preset"], own, loader)
        resources = changed(base, own) if own else base
    except PlanError as error:
        raise ConfigError(f"hydra.launcher: {error.message}", hint=error.hint) from error
    if "workdir" in resources.options:
        raise ConfigError(
            "hydra.launcher.workdir: a program runs where it is started, for its outputs' sake",
            hint="hydra.job.chdir=true runs it in the folder of its outputs",
        )
    return {
        (f"slurm_{name}" if name in KNOWN_OPTIONS else name): value
        for name, value in resources.options.items()
    }


def _preset(name: str, own: Mapping[str, Any], loader: ConfigLoader) -> Resources:
    """A preset of the program's group slurm, or of planit's; `own` has what it leaves open."""
    folder = conf_dir() / "slurm"
    planits = {str(p.relative_to(folder).with_suffix("")): p for p in folder.rglob("*.yaml")}
    if is_in_group(loader, name):
        node: Any = OmegaConf.create(composed(loader, name))
    elif name in planits:
        node = OmegaConf.load(planits[name])
    else:
        raise ConfigError(
            f"hydra.launcher.preset: unknown SLURM preset {name!r}",
            hint=suggest(name, {*names_in_group(loader), *planits}),
        )
    content: Any = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else None
    if not isinstance(content, dict):
        raise ConfigError(f"slurm/{name}.yaml is not a mapping of SLURM arguments")
    content.pop(TARGET, None)
    filled = {key: own.get(key) if value == MISSING else value for key, value in content.items()}
    return resources_of(filled if "slurm_time" in filled else SlurmArgs.from_mapping(filled))
