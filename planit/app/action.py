"""What is done with a composed configuration, or with all of those of a sweep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from planit.app.compose import command_line
from planit.app.frozen import FrozenSweep
from planit.app.plans import Plans, plan_of
from planit.app.verbs._common import show_progress
from planit.errors import ConfigError, PlanError, suggest
from planit.graph import Branch, merge
from planit.nodes import tasks
from planit.plan import Plan
from planit.runs.index import DEFAULT_BASE
from planit.views.tree import tree_text

if TYPE_CHECKING:
    from planit.app.branches import Composed
    from planit.run import Run

_ACTIONS = ("describe", "submit")
_BACKENDS = ("slurm", "debug")


@dataclass
class Action:
    """The function that Hydra runs; ``verb`` wins over the configuration's own ``action``."""

    verb: str | None = None

    def __call__(self, config: DictConfig) -> None:
        """One configuration, one plan."""
        plan = plan_of(config)
        source = {
            "config": OmegaConf.to_container(config, resolve=True),
            "overrides": command_line(),
            "source": OmegaConf.to_container(config, resolve=False),
        }
        self._act(plan, config, source)

    def sweep(
        self, branches: Iterable[Composed], config: DictConfig, overrides: Sequence[str]
    ) -> None:
        """All configurations of a sweep, as one plan.

        Args:
            branches: the configurations.
            config: the one without the swept values.
            overrides: the command line.
        """
        rows, frozen, plans = [], FrozenSweep(), Plans()
        names: dict[str, None] = {}
        for branch in branches:
            plan = plans.of(branch.config, branch.content)
            names[plan.name] = None
            rows.append(Branch(branch.values, plan.root))
            frozen.add(branch)
        settings = sweep_settings(config)
        root = merge_rows(rows, settings)
        source = {"sweep": {**frozen.content(), **settings}, "overrides": list(overrides)}
        self._act(Plan("+".join(names), root), config, source)

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

    def _act(self, plan: Plan, config: DictConfig, source: Mapping[str, Any]) -> None:
        chosen = self.verb or str(config.get("action", "describe"))
        if chosen not in _ACTIONS:
            raise ConfigError(f"action={chosen} is unknown", hint=suggest(chosen, _ACTIONS))
        if chosen == "describe":
            print(tree_text(plan.name, plan.root))
            return
        backend = config.get("backend") or {}
        name = str(backend.get("name", "slurm"))
        if name == "debug":
            run_here(plan, config)
        elif name == "slurm":
            submit_to_slurm(plan, config, source)
        else:
            raise ConfigError(f"backend.name={name} is unknown", hint=suggest(name, _BACKENDS))


def sweep_settings(config: DictConfig) -> dict[str, Any]:
    """``sweep.share`` and ``sweep.join`` of a configuration.

    Raises:
        ConfigError: they are not a switch and a list of names.
    """
    node = config.get("sweep") or {}
    content = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    settings = {"share": True, "join": [], **(content if isinstance(content, dict) else {})}
    if isinstance(settings["join"], str):
        settings["join"] = [settings["join"]]
    if not isinstance(settings["share"], bool):
        raise ConfigError(f"sweep.share must be true or false, not {settings['share']!r}")
    if not isinstance(settings["join"], list):
        raise ConfigError(f"sweep.join must be a list of steps, not {settings['join']!r}")
    return settings


def merge_rows(rows: Sequence[Branch], settings: Mapping[str, Any]) -> Any:
    """One tree for all branches. Raises ConfigError."""
    try:
        return merge(rows, share=settings["share"], join=settings["join"])
    except PlanError as error:
        raise ConfigError(error.message, hint=error.hint) from error


def runs_dir(config: DictConfig) -> Path:
    """Where the record of a run goes."""
    return Path(str(config.get("runs_dir") or DEFAULT_BASE))


def run_here(plan: Plan, config: DictConfig) -> list[Any]:
    """Run a plan in this process, and return its jobs."""
    from planit.backends.executors import debug_executor

    count = sum(1 for _ in tasks(plan.root))
    print(f"Running the {count} step(s) of plan {plan.name} in this process", flush=True)
    jobs = plan.submit(debug_executor(runs_dir(config) / plan.name))
    plan.wait()
    print(f"All {count} step(s) of plan {plan.name} succeeded")
    return jobs


def submit_to_slurm(
    plan: Plan, config: DictConfig, source: Mapping[str, Any]
) -> tuple[Run, list[Any]]:
    """Submit a plan, say what was done, and return the run and the steps' jobs."""
    from planit.backends.slurm import SlurmBackend
    from planit.run import Run
    from planit.runs.start import NewRun

    backend = config.get("backend") or {}
    new = NewRun(
        plan=plan.name,
        root=plan.root,
        base=runs_dir(config),
        backend=SlurmBackend(kill_on_invalid_dep=bool(backend.get("kill_on_invalid_dep", True))),
        source=source,
        progress=show_progress,
    )
    run, jobs = new.start()
    ids = list(dict.fromkeys(job.job_id.partition("_")[0] for job in jobs))
    print(f"Submitted plan {plan.name}: {len(jobs)} step(s) as {len(ids)} job(s)")
    print(f"Run {run.run_id}, job(s) {ids[0]}{' to ' + ids[-1] if len(ids) > 1 else ''}")
    print(f"Recorded in {run.path}")
    elsewhere = f" --runs-dir {new.base}" if new.base != DEFAULT_BASE else ""
    print(f"See planit status{elsewhere}, planit logs{elsewhere} STEP, planit cancel{elsewhere}")
    return Run(run.path, backend=new.backend), list(jobs)
