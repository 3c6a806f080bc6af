"""The options of sbatch that submission parameters come to, for everybody who depends on one.

They stand under submitit's names, or in ``additional_parameters``; the latter win, as in submitit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from planit.errors import PlanError

MORE = "additional_parameters"
# Parameters that are not options of sbatch: submitit's, and those of a step's environment.
_NOT_SBATCH = frozenset(
    {
        MORE,
        "array_parallelism",
        "conda",
        "container",
        "env",
        "max_requeues",
        "modules",
        "python",
        "setup",
        "signal_delay_s",
        "srun_args",
        "stderr_to_stdout",
        "teardown",
        "use_srun",
        "venv",
        "workdir",
    }
)
MEMORY = frozenset({"mem", "mem_per_cpu", "mem_per_gpu"})


def flags_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of sbatch by their long names, with underscores."""
    own = {name: value for name, value in options.items() if name not in _NOT_SBATCH}
    more = options.get(MORE) or {}
    return own | {name.replace("-", "_"): value for name, value in more.items()}


def task_count(flags: Mapping[str, Any]) -> int:
    """The Slurm tasks of a job (sbatch manual: "--ntasks" wins over "--ntasks-per-node").

    Raises:
        PlanError: there may be more or fewer, as with ``nodes: 1-4``.
    """
    if flags.get("ntasks") is not None:
        return _whole("ntasks", flags["ntasks"])
    nodes = _whole("nodes", flags.get("nodes") or 1)
    gpus = count_of(flags.get("gpus")) or count_of(flags.get("gpus_per_node")) * nodes
    if gpus and flags.get("ntasks_per_gpu"):
        return gpus * _whole("ntasks_per_gpu", flags["ntasks_per_gpu"])
    per_task = count_of(flags.get("gpus_per_task"))
    if per_task and flags.get("gpus") and not flags.get("ntasks_per_node"):
        return max(1, gpus // per_task)
    return nodes * _whole("ntasks_per_node", flags.get("ntasks_per_node") or 1)


def count_of(value: Any) -> int:
    """The number in sbatch's ``2``, ``a100:2`` or ``1-4`` (at least 1 of them)."""
    match = re.match(r"(?:.*:)?(\d+)", str(value or 0))
    return int(match[1]) if match else 0


def _whole(name: str, value: Any) -> int:
    if not re.fullmatch(r"\d+", str(value)):
        raise PlanError(
            f"{name} {value!r} is not one whole number",
            hint="a step is started once for each Slurm task, so say how many there are",
        )
    return int(value)


def on_top(before: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters `new` over those `before`; of an option that both have, wherever, `new`'s."""
    own = new.get(MORE) or {}
    more = {n: v for n, v in (before.get(MORE) or {}).items() if n not in new} | own
    options = {n: v for n, v in before.items() if n != MORE and n not in own} | dict(new)
    options.pop(MORE, None)
    return options | ({MORE: more} if more else {})


def refuse_contradictions(name: str, options: Mapping[str, Any]) -> None:
    """Raise PlanError if additional parameters, called `name`, say something else than the rest.

    And if there is more than one request for memory, of which sbatch takes one.
    """
    for flag, value in (options.get(MORE) or {}).items():
        own = options.get(flag)
        if own is not None and value is not None and str(own) != str(value):
            raise PlanError(
                f"{flag} is {own!r}, and {name} say {value!r}", hint=f"say once what {flag} is"
            )
    flags = flags_of(options)
    memory = sorted(flag for flag in MEMORY if flags.get(flag) is not None)
    if len(memory) > 1:
        raise PlanError(
            f"{' and '.join(memory)} are both set, and sbatch takes one of them",
            hint="leave one out, for instance by ~slurm.additional_params.mem_per_gpu",
        )
    _refuse_uneven_tasks(flags)


def _refuse_uneven_tasks(flags: Mapping[str, Any]) -> None:
    """Raise PlanError for numbers of nodes and tasks of which sbatch would ignore one."""
    total, nodes, each = (flags.get(n) for n in ("ntasks", "nodes", "ntasks_per_node"))
    if total is None or nodes is None or not f"{total}{nodes}{each or 1}".isdecimal():
        return
    if int(total) < int(nodes) or (each is not None and int(total) > int(nodes) * int(each)):
        per_node = f" with {each} tasks on each" if each is not None else ""
        raise PlanError(
            f"ntasks is {total}, which does not fit on {nodes} nodes{per_node}",
            hint="say nodes and tasks_per_node only",
        )
