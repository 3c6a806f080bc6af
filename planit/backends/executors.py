"""What planit takes from the submitit executor that a user hands in. It is never modified."""

from __future__ import annotations

import copy
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from submitit.core.core import Executor
from submitit.slurm.slurm import SlurmExecutor

from planit.errors import PlanError
from planit.nodes.checks import check_additional
from planit.nodes.resources import GENERIC, as_options

_KINDS: dict[str, type[Executor]] = {
    "slurm": SlurmExecutor,
    "local": submitit.LocalExecutor,
    "debug": submitit.DebugExecutor,
}


@dataclass(frozen=True)
class ExecutorView:
    """A user's executor, read once.

    Attributes:
        kind: "slurm", "local" or "debug".
        folder: where it keeps its jobs.
        defaults: parameters set on it, under submitit's names, without what planit sets itself.
        python: shell words that start Python in a job.
        max_requeues: requeues after a time-out for steps that can checkpoint.
    """

    kind: str
    folder: Path
    defaults: dict[str, Any]
    python: str
    max_requeues: int


def view(executor: Any) -> ExecutorView:
    """Read an executor.

    Raises:
        PlanError: it is none of submitit's, or one that cannot keep the order of a plan.
    """
    if not isinstance(executor, Executor):
        raise PlanError(
            f"submit expects a submitit executor, not {executor!r}",
            hint='for instance submitit.AutoExecutor(folder="slurm_logs")',
        )
    inner = executor._executor if isinstance(executor, submitit.AutoExecutor) else executor
    kind = next((kind for kind, known in _KINDS.items() if isinstance(inner, known)), None)
    if kind is None:
        raise PlanError(
            f"submitit's {inner.name()} executor is not known to planit",
            hint=f"use one of {', '.join(_KINDS)}",
        )
    if "%" in str(executor.folder):
        raise PlanError(
            f"the executor's folder {str(executor.folder)!r} has a % in it",
            hint="planit makes a folder for each run by itself: give a plain path",
        )
    return ExecutorView(
        kind=kind,
        folder=executor.folder,
        defaults=_defaults(_as_for_slurm(kind, executor.parameters)),
        python=getattr(inner, "python", shlex.quote(sys.executable)),
        max_requeues=int(getattr(inner, "max_num_timeout", 0)),
    )


def _as_for_slurm(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The local executor's parameters have the names that all executors share: timeout_min."""
    if kind != "local":
        return dict(parameters)
    given = {key: value for key, value in parameters.items() if key != "visible_gpus"}
    return as_options({k if k in GENERIC else f"slurm_{k}": v for k, v in given.items()})


def _defaults(parameters: Mapping[str, Any]) -> dict[str, Any]:
    unwanted = {"dependency", "array_parallelism", "map_count", "job_name"}
    defaults = {
        name: copy.deepcopy(value)
        for name, value in parameters.items()
        if name not in unwanted and value is not None
    }
    more = "additional_parameters"
    if more in defaults:
        defaults[more] = check_additional(f"the executor's slurm_{more}", defaults[more])
    return defaults


def debug_executor(folder: Path) -> submitit.AutoExecutor:
    """An executor that runs everything in this process."""
    return submitit.AutoExecutor(folder=folder, cluster="debug")
