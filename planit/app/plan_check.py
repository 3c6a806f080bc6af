"""What ``planit check`` does with a composed configuration: looks at its plan, and tells all."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from omegaconf import DictConfig

from planit.app import submitting
from planit.app.config.faulty_plans import FaultyPlans
from planit.app.plan_task import PlanTask
from planit.backends.in_process import InProcess
from planit.errors import ConfigError
from planit.nodes import Node, tasks
from planit.plan import Plan
from planit.submit.part_asked import PartAsked
from planit.submit.problems import SLURMS_PART, Problems, look_at, seen_by, stages_for

if TYPE_CHECKING:
    from planit.app.config.plans import Plans
    from planit.backends.base import Backend


class PlanCheck(PlanTask):
    """The function that Hydra runs for ``planit check``.

    Attributes:
        problems: what was found.
        steps: how many steps the plan has.
    """

    def __init__(self, asked: PartAsked) -> None:
        super().__init__("check", asked)
        self.problems = Problems()
        self.steps = 0

    def plans(self) -> Plans:
        """What builds the plans, of which parts may be wrong."""
        return FaultyPlans(self.problems.of_plan, self.problems.replaced)

    def batch(
        self,
        configs: Sequence[DictConfig],
        overrides: Sequence[Sequence[str]],
        first: int,
        objective: str | None,
    ) -> NoReturn:
        """Another sweeper, which chooses its values as it goes."""
        raise ConfigError(
            "planit check takes planit's own sweeper only",
            hint="leave out -m and the swept values, and check the plan itself",
        )

    def _act(self, plan: Plan, config: DictConfig, _overrides: Sequence[str]) -> None:
        self.steps = sum(1 for _ in tasks(plan.root))
        part = self.asked.part(plan.root, submitting.runs_dir(config))
        submitting.freeze_of(config.get("freeze", "tree"), config.get("freeze_limit_mb", 100))
        backend = submitting.chosen_backend(config)
        root = look_at(plan.root, part, self.problems)
        if root is not None:
            self._ask(backend, submitting.backend_name(config), root)

    def _ask(self, backend: Backend | InProcess, chosen: str, root: Node) -> None:
        """Look at what the backend has to run the steps on."""
        if isinstance(backend, InProcess):
            return
        if chosen != "local" and shutil.which("sbatch") is None:
            self.problems.not_checked.append(f"{SLURMS_PART}: no sbatch on PATH")
            return
        graph = stages_for(root, backend, self.problems)
        if graph is not None:
            seen_by(backend, graph, self.problems)
