"""``hydra/launcher=planit``: the jobs of any Hydra program on Slurm, or here, as a run of planit.

Each batch of a sweeper is one run: on Slurm one job array. In planit's own app a batch is a plan
with a branch for each configuration, which returns what its last step returned (or the step named
``objective``).
"""

# No "from __future__ import annotations": Hydra executes plugins before it registers them in
# sys.modules, and dataclasses look text annotations up there.

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.planit.handed_over import HandedOver


@dataclass
class PlanitBackendConf:
    """What can be set below ``hydra.launcher.backend_settings``; a plan has it as ``backend``."""

    cpus: Any = None
    gpus: Any = None
    mem_gb: Any = None
    isolation: Any = None
    kill_wait_s: Any = None
    detach: bool = False
    kill_on_invalid_dep: Any = None
    dependency: Any = None


@dataclass
class PlanitLauncherConf:
    """What can be set below ``hydra.launcher``; null is a setting's default.

    Those from `time` to `python` are the fields of `planit.SlurmArgs`, which checks them.

    Attributes:
        preset: SLURM arguments by name: a file of conf/slurm of the program, or of planit.
        name: of the run; by default hydra.job.name.
        backend: slurm, local, debug, or auto: slurm where there is sbatch, else local.
        backend_settings: of that backend, such as cpus, gpus and mem_gb of this machine.
        wait: whether the program waits for its jobs and gets what they return.
        max_concurrent: the most jobs that run at once.
        runs_dir: where the record of the run goes; by default planit_runs.
        share: group lets the group read the record.
        freeze: what the jobs run as it is now: tree, code or off.
        freeze_limit_mb: more than this is refused.
        objective: in planit's own app, the step whose return value is a branch's.
    """

    _target_: str = "hydra_plugins.planit.launcher.PlanitLauncher"
    preset: str | None = None
    time: Any = None
    partition: Any = None
    gpus_per_node: Any = None
    nodes: Any = None
    cpus_per_task: Any = None
    cpus_per_gpu: Any = None
    mem_gb: Any = None
    account: Any = None
    cluster: Any = None
    mail_type: Any = None
    mail_user: Any = None
    additional_params: dict[str, Any] = field(default_factory=dict)
    setup: Any = None
    max_requeues: Any = None
    qos: Any = None
    tasks_per_node: Any = None
    constraint: Any = None
    gres: Any = None
    mem_per_cpu: Any = None
    mem_per_gpu: Any = None
    exclude: Any = None
    nodelist: Any = None
    reservation: Any = None
    exclusive: Any = None
    signal: Any = None
    switches: Any = None
    begin: Any = None
    licenses: Any = None
    modules: Any = None
    venv: Any = None
    conda: Any = None
    container: Any = None
    env: dict[str, Any] = field(default_factory=dict)
    workdir: Any = None
    srun_args: Any = None
    python: Any = None
    name: str | None = None
    backend: str = "auto"
    backend_settings: PlanitBackendConf = field(default_factory=PlanitBackendConf)
    wait: bool = True
    max_concurrent: int | None = None
    runs_dir: str | None = "${oc.env:PLANIT_RUNS_DIR,null}"
    share: str | None = None
    freeze: Any = "tree"
    freeze_limit_mb: Any = 100
    objective: str | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="planit", node=PlanitLauncherConf, provider="planit"
)
_OF_PLANS = ("_target_", "runs_dir", "objective")  # what can be set in planit's own app


class PlanitLauncher(HandedOver, Launcher):
    """Runs each batch of configurations as one run.

    Args:
        **settings: those of `PlanitLauncherConf`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {name: _plain(value) for name, value in settings.items()}

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run the batch, and return what each job returned once all have ended.

        Raises:
            HydraException: what planit refuses, as one line.
        """
        from planit.app.launch import Program, launch
        from planit.app.launch_settings import told
        from planit.errors import PlanitError

        assert self.hydra_context is not None
        assert self.config is not None
        rows = [list(row) for row in job_overrides]
        if hasattr(self.task_function, "batch"):
            return self._launch_plans(self.hydra_context, self.config, rows, initial_job_idx)
        try:
            program = Program(self.task_function, self.hydra_context, self.config)
            return launch(program, self.settings, rows, initial_job_idx)
        except PlanitError as error:
            raise CompactHydraException(f"planit: error: {told(error)}") from error

    def _launch_plans(
        self, context: HydraContext, config: DictConfig, rows: list[list[str]], first: int
    ) -> list[JobReturn]:
        """The batch of planit's own app: a plan with a branch for each configuration."""
        defaults = OmegaConf.structured(PlanitLauncherConf)
        for name, value in self.settings.items():
            if name not in _OF_PLANS and value != _plain(defaults[name]):
                raise CompactHydraException(
                    f"hydra.launcher.{name} is for other programs: a plan's steps have their own"
                )
        # Hydra's sweepers write their own results there, and expect the launcher to have made it.
        Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        configs = [context.config_loader.load_sweep_config(config, row) for row in rows]
        outcomes = self.task_function.batch(configs, rows, first, self.settings["objective"])
        return [
            _job_return(config, row, outcome)
            for config, row, outcome in zip(configs, rows, outcomes, strict=True)
        ]


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _job_return(config: DictConfig, overrides: list[str], outcome: Any) -> JobReturn:
    """A branch's outcome as Hydra's sweepers expect it; an exception is raised by the sweeper."""
    done = JobReturn()
    done.overrides = overrides
    done.cfg = config
    done.hydra_cfg = config
    done.task_name = str(config.hydra.job.name)
    done.return_value = outcome
    done.status = JobStatus.FAILED if isinstance(outcome, Exception) else JobStatus.COMPLETED
    return done
