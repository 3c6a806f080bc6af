"""A batch of configurations as one plan that is waited for: what ``hydra/launcher=planit`` runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from planit.app.config.plans import Composed, Plans
from planit.app.submitting import chosen_backend, run_here, runs_dir, submit
from planit.app.sweeps.settings import merge_rows, sweep_settings
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, StepsFailedError, suggest
from planit.graph import Branch, label_of
from planit.job.hydra.hydra_config import FrozenConfig, StepHydra, leave_to_job
from planit.nodes import Node, tasks
from planit.plan import Plan


def run_batch(
    configs: Sequence[DictConfig],
    overrides: Sequence[Sequence[str]],
    first: int,
    objective: str | None,
) -> list[Any]:
    """Run all configurations as branches of one plan; per branch its value, or its exception.

    Args:
        configs: the composed configurations.
        overrides: what each was composed with.
        first: number of the first one in the whole sweep.
        objective: name of the step whose return value is the branch's; by default the last one.

    Raises:
        ConfigError: no step is called `objective`, or the plan is wrong.
    """
    plans, rows, wanted = Plans(), [], []
    labels = branch_labels(overrides, first)
    plan = None
    for number, (config, values) in enumerate(zip(configs, labels, strict=True), first):
        hydra = StepHydra(FrozenConfig(config, is_whole=True), number=number)
        leave_to_job(config.hydra, number)
        HydraConfig.instance().set_config(config)
        plan = plans.of(Composed(values, config))
        rows.append(Branch(values, plan.root, hydra))
        wanted.append(f"{_objective(plan.root, objective)}[{label_of(values)}]")
    assert plan is not None
    settings = {**sweep_settings(configs[0]), "share": False, "join": []}
    result = _run(Plan(plan.name, merge_rows(rows, settings)), configs[0], overrides)
    return [_outcome(result, name) for name in wanted]


def branch_labels(overrides: Sequence[Sequence[str]], first: int) -> list[dict[str, str]]:
    """What tells the branches apart: the overrides that differ, or the number of the trial."""
    rows = [
        dict(text.lstrip("+").split("=", 1) for text in row if "=" in text) for row in overrides
    ]
    varying = [key for key in rows[0] if len({row.get(key) for row in rows}) > 1]
    found = [{key: row[key] for key in varying if key in row} for row in rows]
    if len({label_of(values) for values in found}) == len(rows) and varying:
        return found
    return [{"trial": str(first + index)} for index in range(len(rows))]


def _objective(root: Node, objective: str | None) -> str:
    names = [task.name for task, _ in tasks(root)]
    if objective is None:
        return names[-1]
    if objective not in names:
        raise ConfigError(
            f"hydra.launcher.objective: no step {objective!r}", hint=suggest(objective, names)
        )
    return objective


def _run(
    plan: Plan, config: DictConfig, overrides: Sequence[Sequence[str]]
) -> Callable[[str], Any]:
    """Run a plan to its end; gives each step's return value by name, or raises what failed."""
    failed: StepsFailedError | None = None
    try:
        backend = chosen_backend(config)
        if isinstance(backend, InProcess):
            run_here(plan, runs_dir(config), backend)
        else:
            rows = [list(row) for row in overrides]
            run, submitted = submit(plan, config, backend, rows)
            plan.jobs = list(submitted)
            run.wait()
    except StepsFailedError as error:
        failed = error
    names = [task.name for task, _ in tasks(plan.root)]
    jobs = dict(zip(names, plan.jobs, strict=True))

    def result(name: str) -> Any:
        if failed is not None and name in (*failed.failures, *failed.blocked):
            raise failed
        return jobs[name].result()

    return result


def _outcome(result: Callable[[str], Any], name: str) -> Any:
    try:
        return result(name)
    except Exception as error:
        return error
