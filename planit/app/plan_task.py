"""What is done with a composed configuration, or with all of those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from planit.app import submitting
from planit.app.config.compose import given_overrides
from planit.app.config.plans import Plans, plan_of
from planit.app.sweeps.settings import merge_rows, sweep_settings
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, suggest
from planit.graph import Branch, to_run
from planit.job.hydra.hydra_config import leave_to_job
from planit.plan import Plan
from planit.submit.part_asked import PartAsked
from planit.views.plan_tree import tree_text

if TYPE_CHECKING:
    from planit.app.config.plans import Composed

_ACTIONS = ("describe", "submit")


@dataclass
class PlanTask:
    """The function that Hydra runs.

    Attributes:
        verb: it wins over the configuration's own ``action``.
        asked: the part of the plan that is meant.
    """

    verb: str | None = None
    asked: PartAsked = field(default_factory=PartAsked)

    def plans(self) -> Plans:
        """What builds the plans."""
        return Plans()

    def __call__(self, config: DictConfig) -> None:
        """One configuration, one plan."""
        leave_to_job(HydraConfig.get())
        sweep_settings(config)  # wrong ones are refused, also where there is nothing to sweep
        self._act(plan_of(config, self.plans()), config, given_overrides())

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
        rows, plans = [], self.plans()
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

        if not self.asked.is_all:
            raise ConfigError(
                "a part of a plan cannot be submitted with another sweeper, which runs whole plans",
                hint="leave out --from, --until, --only and --after, or use planit's own sweeper",
            )
        return run_batch(configs, overrides, first, objective)

    def _act(self, plan: Plan, config: DictConfig, overrides: Sequence[str]) -> None:
        chosen = self.verb or str(config.get("action", "describe"))
        if chosen not in _ACTIONS:
            raise ConfigError(f"action={chosen} is unknown", hint=suggest(chosen, _ACTIONS))
        part = self.asked.part(plan.root, submitting.runs_dir(config))
        if chosen == "describe":
            print(tree_text(plan.name, to_run(plan.root, part, Path)))
            if part is not None:
                print(submitting.left_out(plan.root, part))
            return
        backend = submitting.chosen_backend(config)
        if isinstance(backend, InProcess):
            submitting.run_here(plan, submitting.runs_dir(config), backend, part)
            return
        run, _ = submitting.submit(plan, config, backend, overrides, part)
        if (code := submitting.see_through(run)) != 0:
            raise SystemExit(code)
