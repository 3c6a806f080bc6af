"""A batch of configurations as one plan that is waited for: what ``hydra/launcher=planit`` runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import filter_overrides
from omegaconf import DictConfig

from planit.app.config.plans import Composed, Plans
from planit.app.submitting import chosen_backend, run_here, runs_dir, submit
from planit.app.sweeps.settings import merge_rows, sweep_settings
from planit.app.sweeps.swept_rows import swept_rows, values_by_key, varying
from planit.backends.in_process import InProcess
from planit.errors import ConfigError, StepsFailedError, suggest
from planit.graph import Branch, label_of
from planit.job.hydra.hydra_config import FrozenConfig, StepHydra, leave_to_job
from planit.nodes import Group, Node, Task, tasks
from planit.plan import Plan
from planit.run import Run


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
    swept = swept_rows([filter_overrides(row) for row in overrides])
    for number, (config, values) in enumerate(zip(configs, labels, strict=True), first):
        hydra = StepHydra(FrozenConfig(config, is_whole=True), number=number)
        leave_to_job(config.hydra, number)
        HydraConfig.instance().set_config(config)
        plan = plans.of(Composed(values, config))
        rows.append(Branch(values, _of_branch(plan.root, swept[number - first]), hydra))
        wanted.append(f"{_objective(plan.root, objective)}[{label_of(values)}]")
    assert plan is not None
    settings = {**sweep_settings(configs[0]), "share": False, "join": []}
    whole = Plan(plan.name, merge_rows(rows, settings))
    result = _run(whole, configs[0], overrides, wanted)
    return [_outcome(result, name) for name in wanted]


def _of_branch(node: Node, values: Mapping[str, Any]) -> Node:
    """The same plan as that of a branch with these swept parameters."""
    if isinstance(node, Task):
        return node.of_branch(node.base, values)
    if isinstance(node, Group):
        return node.with_children(_of_branch(child, values) for child in node.children)
    return node


def branch_labels(overrides: Sequence[Sequence[str]], first: int) -> list[dict[str, str]]:
    """What tells the branches apart: the overrides that differ, or the number of the trial."""
    found = varying(values_by_key(overrides))
    if len({label_of(values) for values in found}) == len(overrides) and any(found):
        return found
    return [{"trial": str(first + index)} for index in range(len(overrides))]


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
    plan: Plan, config: DictConfig, overrides: Sequence[Sequence[str]], wanted: Collection[str]
) -> Callable[[str], Any]:
    """Run a plan to its end; gives the value of each wanted step by name, or raises what failed.

    What is plain data comes from the end markers, and only the rest is unpickled.
    """
    failed: StepsFailedError | None = None
    run: Run | None = None
    try:
        backend = chosen_backend(config)
        if isinstance(backend, InProcess):
            run_here(plan, runs_dir(config), backend)
        else:
            run, submitted = submit(plan, config, backend, [list(row) for row in overrides])
            plan.jobs = list(submitted)
            run.wait()
    except StepsFailedError as error:
        failed = error
    steps = [task for task, _ in tasks(plan.root)]
    jobs = dict(zip((step.name for step in steps), plan.jobs, strict=True))
    plain: dict[str, Any] = {}
    if run is not None:
        for base in {step.base for step in steps if step.name in wanted}:
            rows = run.results(base)
            plain |= {row.step: row.result for row in rows if row.result is not None}

    def result(name: str) -> Any:
        if failed is not None and name in (*failed.failures, *failed.blocked):
            raise failed
        return plain[name] if name in plain else jobs[name].result()

    return result


def _outcome(result: Callable[[str], Any], name: str) -> Any:
    try:
        return result(name)
    except Exception as error:
        return error
