"""``hydra/launcher=planit``: lets any Hydra sweeper drive plans.

Each batch of the sweeper is one plan with a branch per configuration; it is submitted and waited
for, and a branch returns what its last step returned (or the step named ``objective``).
"""

# No "from __future__ import annotations": Hydra executes plugins before it registers them in
# sys.modules, and dataclasses look text annotations up there.

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class PlanitLauncherConf:
    """What can be set below ``hydra.launcher``.

    Attributes:
        objective: name of the step whose return value is a branch's; by default the last one.
    """

    _target_: str = "hydra_plugins.planit.launcher.PlanitLauncher"
    objective: str | None = None


ConfigStore.instance().store(
    group="hydra/launcher", name="planit", node=PlanitLauncherConf, provider="planit"
)


class PlanitLauncher(Launcher):
    """Runs each batch of configurations as one plan."""

    def __init__(self, objective: str | None = None) -> None:
        self.objective = objective
        self.hydra_context: HydraContext | None = None
        self.task_function: Any = None
        self.config: DictConfig | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the batch as one plan, wait for it, and return each branch's value.

        Raises:
            HydraException: used in another app than planit's.
        """
        if not hasattr(self.task_function, "batch"):
            raise HydraException("hydra/launcher=planit works in planit's own app only")
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        # Hydra's sweepers write their own results there, and expect the launcher to have made it.
        Path(str(self.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        rows = [list(row) for row in job_overrides]
        configs = [loader.load_sweep_config(self.config, row) for row in rows]
        outcomes = self.task_function.batch(configs, rows, initial_job_idx, self.objective)
        return [
            _job_return(config, row, outcome)
            for config, row, outcome in zip(configs, rows, outcomes, strict=True)
        ]


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
