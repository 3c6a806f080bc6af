"""What planit takes from the submitit executor that a user hands in. It is never modified."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit import AutoExecutor, DebugExecutor, Executor, LocalExecutor, SlurmExecutor
from submitit.core.utils import JobPaths

from planit.backends.submitit_versions import chosen_executor
from planit.errors import PlanError
from planit.nodes import Node, tasks
from planit.nodes.checks import check_additional, check_own
from planit.nodes.flags import MORE, flags_of
from planit.nodes.resources import GENERIC, as_options

logger = logging.getLogger("planit")

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
        folder: where it keeps its jobs; of ``logs/%j`` what is before the job's id.
        defaults: parameters set on it, under submitit's names.
        settings: of planit's backend: the Python that it starts, and what the first steps wait for.
        max_requeues: requeues after a time-out for steps that can checkpoint.
        max_pickle_gb: the most that all calls together may take when pickled, in GiB.
    """

    kind: str
    folder: Path
    defaults: dict[str, Any]
    settings: dict[str, str]
    max_requeues: int
    max_pickle_gb: float


def view(executor: Any) -> ExecutorView:
    """Read an executor.

    Raises:
        PlanError: it is not one of submitit's, or has a parameter that cannot be honoured.
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
    given = _as_for_slurm(kind, executor.parameters)
    dependency = given.pop("dependency", None)
    settings = {"python": inner.python} if hasattr(inner, "python") else {}
    return ExecutorView(
        kind=kind,
        folder=JobPaths.get_first_id_independent_folder(executor.folder),
        defaults=_defaults(given) if kind != "debug" else {},  # submitit's has no use for them
        settings=settings if dependency is None else {**settings, "dependency": dependency},
        max_requeues=int(getattr(inner, "max_num_timeout", 0)),
        max_pickle_gb=float(getattr(inner, "max_pickle_size_gb", math.inf)),
    )


def tell_overruled(defaults: Mapping[str, Any], root: Node) -> None:
    """Warn of what is set on the executor and has no effect, as every step sets it itself."""
    own = [{*task.resources.options, *flags_of(task.resources.options)} for task, _ in tasks(root)]
    idle = [name for name in {*defaults, *flags_of(defaults)} if all(name in one for one in own)]
    if names := sorted({*idle} - {MORE}):
        logger.warning(
            "planit: set on the executor without effect, as every step sets its own: %s",
            ", ".join(names),
        )


def _as_for_slurm(kind: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The local executor's parameters have the names that all executors share: timeout_min."""
    if kind != "local":
        return {name: value for name, value in parameters.items() if value is not None}
    given = dict(parameters)
    if visible := given.pop("visible_gpus", None):
        raise PlanError(
            f"the executor's visible_gpus={visible!r} are not for planit to choose",
            hint=f"set CUDA_VISIBLE_DEVICES={','.join(map(str, visible))} where you submit",
        )
    return as_options({k if k in GENERIC else f"slurm_{k}": v for k, v in given.items()})


def _defaults(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Those of submitit's Slurm executor, checked."""
    defaults = {name: copy.deepcopy(parameters[name]) for name in parameters if name != "map_count"}
    if "num_gpus" in defaults:  # submitit's older name, which wins
        defaults["gpus_per_node"] = defaults.pop("num_gpus")
    if MORE in defaults:
        defaults[MORE] = check_additional(f"the executor's slurm_{MORE}", defaults[MORE])
    for name in ("array_parallelism", "stderr_to_stdout"):
        if name in defaults:
            check_own(f"the executor's {name}", name, defaults[name])
    return defaults
