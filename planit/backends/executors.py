"""What planit takes from the submitit executor that a user hands in. It is never modified."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import AutoExecutor, DebugExecutor, Executor, LocalExecutor, SlurmExecutor

from planit.backends.submitit_versions import chosen_executor
from planit.errors import PlanError
from planit.nodes.checks import check_additional
from planit.nodes.resources import GENERIC, as_options

_KINDS: dict[str, type[Executor]] = {
    "slurm": SlurmExecutor,
    "local": LocalExecutor,
    "debug": DebugExecutor,
}


@dataclass(frozen=True)
class ExecutorView:
    """A user's executor, read once.

    Attributes:
        kind: the name of planit's backend for it: "slurm", "local" or "debug".
        folder: where it keeps its jobs.
        defaults: parameters set on it, under submitit's names, without what planit sets itself.
        settings: of planit's backend: the Python that it starts.
        max_requeues: requeues after a time-out for steps that can checkpoint.
    """

    kind: str
    folder: Path
    defaults: dict[str, Any]
    settings: dict[str, str]
    max_requeues: int


def view(executor: Any) -> ExecutorView:
    """Read an executor.

    Raises:
        PlanError: it is not one of submitit's, or one that cannot keep the order of a plan.
    """
    if not isinstance(executor, Executor):
        raise PlanError(
            f"submit expects a submitit executor, not {executor!r}",
            hint='for instance submitit.AutoExecutor(folder="slurm_logs")',
        )
    inner = chosen_executor(executor) if isinstance(executor, AutoExecutor) else executor
    kind = next((kind for kind, one in _KINDS.items() if isinstance(inner, one)), None)
    if kind is None:
        raise PlanError(
            f"planit has no backend for submitit's {inner.name()} executor",
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
        settings={"python": inner.python} if hasattr(inner, "python") else {},
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
