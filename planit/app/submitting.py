"""Hands a plan to the backend that the configuration chooses, and tells what was done."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from planit.app.config.written import as_written
from planit.errors import ConfigError
from planit.nodes import Node, tasks
from planit.plan import Plan
from planit.record.index import DEFAULT_BASE
from planit.record.run_bases import is_remembered
from planit.status.states import printable
from planit.views.code_line import code_line

if TYPE_CHECKING:
    from planit.backends.base import Backend
    from planit.backends.in_process import InProcess
    from planit.graph import Part
    from planit.run import Run
    from planit.submit.new import NewRun, StepJobs
    from planit.submit.project import Freeze

_MAX_NAMED = 5


def chosen_backend(config: DictConfig) -> Backend | InProcess:
    """The backend that the configuration describes; null stands for a setting's default.

    Raises:
        ConfigError: there is no such backend or setting, or a value is not of its kind.
    """
    from planit.backends import registry
    from planit.backends.in_process import InProcess

    own = config.get("backend") or {}
    if not isinstance(own, DictConfig | dict):
        raise ConfigError(
            f"backend must be a mapping of settings, not {own!r}",
            hint="backend=NAME chooses one, or {backend: NAME} in the defaults list",
        )
    given = {str(k): v for k, v in own.items() if v is not None}
    given.pop("name", None)
    detach = given.pop("detach", False)
    backend = registry.create(backend_name(config), given)
    return backend if detach or isinstance(backend, InProcess) else backend.attached()


def backend_name(config: DictConfig) -> str:
    """The name that chooses the backend."""
    return str((config.get("backend") or {}).get("name") or "auto")


def runs_dir(config: DictConfig) -> Path:
    """Where the record of a run goes."""
    return Path(str(config.get("runs_dir") or DEFAULT_BASE))


def run_here(plan: Plan, base: Path, backend: InProcess, part: Part | None = None) -> None:
    """Run a plan in this process, step by step; `base` is where the record of a run would go."""
    waiting = backend.prepare(plan.name, plan.root, base / plan.name, part)
    plan.jobs = list(waiting.jobs.values())
    print(f"Running the {len(plan.jobs)} step(s) of plan {plan.name} in this process", flush=True)
    waiting.one_by_one(
        lambda name: print(f"started {printable(name)}", file=sys.stderr, flush=True)
    )
    print(f"All {len(plan.jobs)} step(s) of plan {plan.name} succeeded")


def submit(
    plan: Plan,
    config: DictConfig,
    backend: Backend,
    overrides: Sequence[Any],
    part: Part | None = None,
) -> tuple[Run, StepJobs]:
    """Submit to a backend, and print what was done; the run and the steps' jobs."""
    from planit.submit.new import NewRun

    new = NewRun(
        plan=plan.name,
        root=plan.root,
        base=runs_dir(config),
        backend=backend,
        source={"config": as_written(config), "overrides": list(overrides)},
        progress=show_progress,
        share=config.get("share"),
        freeze=freeze_of(config.get("freeze", "tree"), config.get("freeze_limit_mb", 100)),
        part=part,
    )
    return start(new, chosen=backend_name(config))


def freeze_of(mode: Any, limit_mb: Any) -> Freeze:
    """How much is frozen; YAML reads ``off`` as false. Raises PlanError."""
    from planit.submit.project import Freeze

    return Freeze("off" if mode is False else mode, limit_mb)


def start(new: NewRun, chosen: str) -> tuple[Run, StepJobs]:
    """Submit a new run, and print what was done; `chosen` is the name that chose its backend."""
    from planit.run import Run

    run, jobs = new.start()
    if chosen == "auto" and shutil.which("sbatch") is None:
        print(
            f"No sbatch on PATH: running on this machine (backend={new.backend.name})",
            file=sys.stderr,
        )
    ids = jobs.ids
    print(f"Submitted plan {new.plan}: {len(jobs)} step(s) as {len(ids)} job(s)")
    print(f"Run {run.run_id}, job(s) {ids[0]}{' to ' + ids[-1] if len(ids) > 1 else ''}")
    if new.part is not None:
        print(left_out(new.root, new.part))
    print(printable(f"Recorded in {run.path}"))
    print(printable(code_line(run.path, 1)))
    is_found = new.base == DEFAULT_BASE or is_remembered(run.path.parents[1])
    elsewhere = "" if is_found else f" --runs-dir {new.base}"
    see = f"See planit status{elsewhere}, planit logs{elsewhere} STEP, planit cancel{elsewhere}"
    print(printable(see), flush=True)
    return Run(run.path, backend=new.backend), jobs


def left_out(root: Node, part: Part) -> str:
    """A line on the steps of a plan that are not run."""
    names = [task.name for task, _ in tasks(root)]
    others = [name for name in names if name not in part.steps]
    shown = ", ".join(others[:_MAX_NAMED]) + (", ..." if len(others) > _MAX_NAMED else "")
    runs = sorted({done.run.name for done in part.before.values()})
    where = f"; what they stand behind was done in run {', '.join(runs)}" if runs else ""
    return printable(f"Left out: {len(others)} of {len(names)} step(s): {shown or '-'}{where}")


def see_through(run: Run) -> int:
    """Show a run that ends with this process until it has ended; the exit code."""
    attached = run.backend.attached_run()
    if attached is None:
        return 0
    from planit.app.live import follow

    return follow(run, attached)


def show_progress(done: int, count: int) -> None:
    """Submitted jobs: each on a terminal, else every hundred."""
    if sys.stderr.isatty() and count > 1:
        end = "\n" if done == count else ""
        print(f"\rsubmitted {done} of {count} job(s)", end=end, file=sys.stderr, flush=True)
    elif done % 100 == 0 and done < count:
        print(f"submitted {done} of {count} job(s)", file=sys.stderr, flush=True)
