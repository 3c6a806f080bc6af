"""What is done with a composed configuration, or with all of those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from planit.app import submitting
from planit.app.config.compose import given_overrides
from planit.app.config.plans import Plans, plan_of
from planit.app.sweeps.settings import merge_rows, sweep_settings
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, suggest
from planit.graph import Branch, refuse_folders
from planit.job.hydra.hydra_config import leave_to_job
from planit.plan import Plan
from planit.views.plan_tree import tree_text

if TYPE_CHECKING:
    from planit.app.config.plans import Composed

_ACTIONS = ("describe", "submit")


@dataclass
class PlanTask:
    """The function that Hydra runs; ``verb`` wins over the configuration's own ``action``."""

    verb: str | None = None

    def __call__(self, config: DictConfig) -> None:
        """One configuration, one plan."""
        leave_to_job(HydraConfig.get())
        sweep_settings(config)  # wrong ones are refused, also where there is nothing to sweep
        self._act(plan_of(config), config, given_overrides())

    def sweep(
        self, branches: Iterable[Composed], config: DictConfig, overrides: Sequence[str]
    ) -> None:
        """All configurations of a sweep, as one plan.

        Args:
            branches: the configurations.
            config: the one without the swept values.
            overrides: the command line.
        """
        HydraConfig.instance().set_config(config)
        leave_to_job(HydraConfig.get())
        rows, plans = [], Plans()
        names: dict[str, None] = {}
        settings = sweep_settings(config)
        for branch in branches:
            plan = plans.of(branch)
            names[plan.name] = None
            rows.append(Branch(branch.values, plan.root, branch.hydra))
        HydraConfig.instance().set_config(config)  # that of the steps of several branches
        self._act(Plan("+".join(names), merge_rows(rows, settings)), config, overrides)

    def batch(
        self,
        configs: Sequence[DictConfig],
        overrides: Sequence[Sequence[str]],
        first: int,
        objective: str | None,
    ) -> list[Any]:
        """A batch of another sweeper, run and waited for; see `planit.app.batch.run_batch`."""
        from planit.app.batch import run_batch

        return run_batch(configs, overrides, first, objective)

    def _act(self, plan: Plan, config: DictConfig, overrides: Sequence[str]) -> None:
        chosen = self.verb or str(config.get("action", "describe"))
        if chosen not in _ACTIONS:
            raise ConfigError(f"action={chosen} is unknown", hint=suggest(chosen, _ACTIONS))
        if chosen == "describe":
            refuse_folders(plan.root)
            print(tree_text(plan.name, plan.root))
            return
        backend = submitting.chosen_backend(config)
        if isinstance(backend, InProcess):
            submitting.run_here(plan, submitting.runs_dir(config), backend)
            return
        run, _ = submitting.submit(plan, config, backend, overrides)
        if (code := submitting.see_through(run)) != 0:
            raise SystemExit(code)
