"""``planit submit plan=...``: submit every step of a plan, or none."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from planit.app import compose
from planit.app.verbs._common import show_progress
from planit.errors import ConfigError, suggest
from planit.nodes import tasks
from planit.runs.index import DEFAULT_BASE
from planit.views.tree import tree_text

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from planit.plan import Plan

_ACTIONS = ("describe", "submit")
_BACKENDS = ("slurm", "debug")


def run(words: list[str]) -> int:
    """Submit the plan."""
    return act(words, "submit")


def act(words: list[str], action: str | None) -> int:
    """Compose the configuration and do what `action` (or the configuration's own) says."""
    words, config_dir = _take_config_dir(words)

    def task(config: DictConfig) -> None:
        chosen = action or str(config.get("action", "describe"))
        if chosen not in _ACTIONS:
            raise ConfigError(f"action={chosen} is unknown", hint=suggest(chosen, _ACTIONS))
        plan = compose.plan_of(config)
        if chosen == "describe":
            print(tree_text(plan.name, plan.root))
        else:
            _submit(plan, config)

    compose.run_app(task, words, config_dir)
    return 0


def _take_config_dir(words: list[str]) -> tuple[list[str], str | None]:
    """Hydra puts ``--config-dir`` last in its search; a user's own folder has to come first."""
    rest: list[str] = []
    found: str | None = None
    upcoming = iter(words)
    for word in upcoming:
        flag, equals, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            rest.append(word)
            continue
        found = value if equals else next(upcoming, None)
        if not found:
            raise ConfigError(f"{flag} needs a folder", hint=f"{flag} DIR")
    return rest, found


def _submit(plan: Plan, config: DictConfig) -> None:
    backend = config.get("backend") or {}
    name = str(backend.get("name", "slurm"))
    if name == "debug":
        _run_here(plan, config)
    elif name == "slurm":
        _submit_to_slurm(plan, config, backend)
    else:
        raise ConfigError(f"backend.name={name} is unknown", hint=suggest(name, _BACKENDS))


def _run_here(plan: Plan, config: DictConfig) -> None:
    from planit.backends.executors import debug_executor

    count = sum(1 for _ in tasks(plan.root))
    print(f"Running the {count} step(s) of plan {plan.name} in this process", flush=True)
    plan.submit(debug_executor(_runs_dir(config) / plan.name))
    plan.wait()
    print(f"All {count} step(s) of plan {plan.name} succeeded")


def _submit_to_slurm(plan: Plan, config: DictConfig, backend: Any) -> None:
    from omegaconf import OmegaConf

    from planit.backends.slurm import SlurmBackend
    from planit.runs.start import NewRun

    new = NewRun(
        plan=plan.name,
        root=plan.root,
        base=_runs_dir(config),
        backend=SlurmBackend(kill_on_invalid_dep=bool(backend.get("kill_on_invalid_dep", True))),
        source={
            "config": OmegaConf.to_container(config, resolve=True, throw_on_missing=False),
            "source": OmegaConf.to_container(config, resolve=False),
            "overrides": compose.command_line(),
        },
        progress=show_progress,
    )
    run, jobs = new.start()
    ids = list(dict.fromkeys(job.job_id.partition("_")[0] for job in jobs))
    print(f"Submitted plan {plan.name}: {len(jobs)} step(s) as {len(ids)} job(s)")
    print(f"Run {run.run_id}, job(s) {ids[0]}{' to ' + ids[-1] if len(ids) > 1 else ''}")
    print(f"Recorded in {run.path}")
    elsewhere = f" --runs-dir {new.base}" if new.base != DEFAULT_BASE else ""
    print(f"See planit status{elsewhere}, planit logs{elsewhere} STEP, planit cancel{elsewhere}")


def _runs_dir(config: DictConfig) -> Path:
    return Path(str(config.get("runs_dir") or "planit_runs"))
