"""Hands a plan to the backend that the configuration chooses, and says what was done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from planit.app.config.written import as_written
from planit.errors import ConfigError, suggest
from planit.plan import Plan
from planit.record.index import DEFAULT_BASE
from planit.status.states import printable

if TYPE_CHECKING:
    from planit.backends.base import Backend
    from planit.run import Run

_BACKENDS = ("auto", "slurm", "local", "debug")


def chosen_backend(config: DictConfig) -> str:
    """``backend.name``; "auto" is Slurm where there is sbatch, and this machine elsewhere.

    Raises:
        ConfigError: there is no such backend.
    """
    from planit.backends.slurm.client import available

    name = _wanted(config)
    if name not in _BACKENDS:
        raise ConfigError(f"backend.name={name} is unknown", hint=suggest(name, _BACKENDS))
    if name != "auto":
        return name
    return "slurm" if available() else "local"


def _wanted(config: DictConfig) -> str:
    return str((config.get("backend") or {}).get("name", "auto"))


def runs_dir(config: DictConfig) -> Path:
    """Where the record of a run goes."""
    return Path(str(config.get("runs_dir") or DEFAULT_BASE))


def run_here(plan: Plan, config: DictConfig) -> None:
    """Run a plan in this process, step by step."""
    from planit.backends.debug.backend import debugged
    from planit.backends.executors import debug_executor

    waiting = debugged(plan.name, plan.root, debug_executor(runs_dir(config) / plan.name))
    plan.jobs = list(waiting.jobs.values())
    print(f"Running the {len(plan.jobs)} step(s) of plan {plan.name} in this process", flush=True)
    waiting.one_by_one(
        lambda name: print(f"started {printable(name)}", file=sys.stderr, flush=True)
    )
    print(f"All {len(plan.jobs)} step(s) of plan {plan.name} succeeded")


def submit(
    plan: Plan, config: DictConfig, chosen: str, overrides: Sequence[Any]
) -> tuple[Run, Backend, list[Any]]:
    """Submit to the `chosen` backend, say what was done; the run and the steps' jobs."""
    from planit.run import Run
    from planit.submit.new import NewRun

    new = NewRun(
        plan=plan.name,
        root=plan.root,
        base=runs_dir(config),
        backend=_backend(config, chosen),
        source={"config": as_written(config), "overrides": list(overrides)},
        progress=show_progress,
        share=config.get("share"),
    )
    run, jobs = new.start()
    if chosen == "local" and _wanted(config) == "auto":
        print("No sbatch on PATH: running on this machine (backend=local)", file=sys.stderr)
    ids = list(dict.fromkeys(job.job_id.partition("_")[0] for job in jobs))
    print(f"Submitted plan {plan.name}: {len(jobs)} step(s) as {len(ids)} job(s)")
    print(f"Run {run.run_id}, job(s) {ids[0]}{' to ' + ids[-1] if len(ids) > 1 else ''}")
    print(f"Recorded in {run.path}")
    elsewhere = f" --runs-dir {new.base}" if new.base != DEFAULT_BASE else ""
    print(
        f"See planit status{elsewhere}, planit logs{elsewhere} STEP, planit cancel{elsewhere}",
        flush=True,
    )
    return Run(run.path, backend=new.backend), new.backend, list(jobs)


def see_through(run: Run, backend: Backend) -> int:
    """Show a run on this machine to its end, unless it goes on in the background; the exit code."""
    from planit.backends.local.backend import LocalBackend

    if not isinstance(backend, LocalBackend) or backend.detach:
        return 0
    from planit.app.live import follow

    return follow(run, backend)


def _backend(config: DictConfig, chosen: str) -> Backend:
    settings = config.get("backend") or {}
    if chosen == "slurm":
        from planit.backends.slurm.backend import SlurmBackend

        return SlurmBackend(kill_on_invalid_dep=bool(settings.get("kill_on_invalid_dep", True)))
    from planit.backends.local.backend import SETTINGS, LocalBackend

    given = {key: settings[key] for key in (*SETTINGS, "detach") if settings.get(key) is not None}
    return LocalBackend(**{"detach": False, **given})


def show_progress(done: int, count: int) -> None:
    """Submitted jobs: each on a terminal, else every hundred."""
    if sys.stderr.isatty() and count > 1:
        end = "\n" if done == count else ""
        print(f"\rsubmitted {done} of {count} job(s)", end=end, file=sys.stderr, flush=True)
    elif done % 100 == 0 and done < count:
        print(f"submitted {done} of {count} job(s)", file=sys.stderr, flush=True)
