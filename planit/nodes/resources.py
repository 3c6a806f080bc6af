"""Submission parameters under submitit's names, and how a dict for submitit becomes some."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

from planit.errors import PlanError, suggest
from planit.nodes import walltime
from planit.nodes.checks import check_additional, check_own, check_text, setup_lines
from planit.nodes.flags import refuse_contradictions
from planit.nodes.step_environment import ENVIRONMENT, check_step_environment


@dataclass(frozen=True)
class Resources:
    """Submission parameters under submitit's names; only what the user set."""

    options: dict[str, Any]

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Resources:
        """Read a dict that submitit understands; it is not modified.

        Raises:
            PlanError: no ``slurm_time``, or a key that submitit's Slurm executor would not take.
        """
        if "slurm_time" not in given:
            raise PlanError(
                'a dict of SLURM arguments needs "slurm_time"', hint="add the wall time"
            )
        options = as_options(given)
        refuse_contradictions("slurm_additional_parameters", options)
        walltime.parse(options.get("time"), "slurm_time")
        return cls(options)

    @cached_property
    def time(self) -> timedelta:
        return walltime.parse(self.options["time"])

    @property
    def time_text(self) -> str:
        """The wall time as the user wrote it."""
        return str(self.options["time"])

    @property
    def cluster(self) -> str | None:
        """The cluster by name, or None for the default one."""
        value = self.options.get("additional_parameters", {}).get("clusters")
        return None if value is None else str(value)

    @cached_property
    def key(self) -> str:
        """Equal for equal parameters; what decides whether two steps can share an array."""
        return repr(sorted(self.options.items(), key=lambda item: item[0]))


# Generic names of submitit's AutoExecutor -> names of its SlurmExecutor.
GENERIC = {
    "name": "job_name",
    "mem_gb": "mem",
    "nodes": "nodes",
    "cpus_per_task": "cpus_per_task",
    "gpus_per_node": "gpus_per_node",
    "tasks_per_node": "ntasks_per_node",
    "timeout_min": "time",
    "stderr_to_stdout": "stderr_to_stdout",
    "max_requeues": "max_requeues",
    "num_gpus": "gpus_per_node",
}
PLANITS = frozenset(
    {
        "begin",
        "conda",
        "container",
        "env",
        "licenses",
        "modules",
        "python",
        "reservation",
        "signal",
        "switches",
        "venv",
        "workdir",
    }
)
"""The parameters that planit has beside submitit's; a dict may name them in the same way."""

# Parameters of submitit's SlurmExecutor that make sense for a step of a plan, and planit's. A
# "dependency" makes sense for the plan as a whole, on the executor.
KNOWN_OPTIONS = PLANITS | frozenset(
    {
        "array_parallelism",
        "job_name",
        "partition",
        "time",
        "nodes",
        "ntasks_per_node",
        "cpus_per_task",
        "cpus_per_gpu",
        "gpus_per_node",
        "gpus_per_task",
        "qos",
        "setup",
        "teardown",
        "mem",
        "mem_per_gpu",
        "mem_per_cpu",
        "signal_delay_s",
        "comment",
        "constraint",
        "exclude",
        "account",
        "gres",
        "mail_type",
        "mail_user",
        "nodelist",
        "exclusive",
        "wckey",
        "stderr_to_stdout",
        "additional_parameters",
        "srun_args",
        "use_srun",
    }
)


def as_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters under any of submitit's names, under those of its Slurm executor; None is unset.

    Raises:
        PlanError: a key that submitit's Slurm executor would not take.
    """
    options: dict[str, Any] = {}
    for key, value in given.items():
        if value is not None:
            name = option_name(str(key))
            made = _canonical_value(str(key), name, copy.deepcopy(value))
            if options.setdefault(name, made) != made:
                raise PlanError(f"{key} is {made!r}, and {name} is {options[name]!r} already")
    check_step_environment(options, "slurm_")
    return options


def option_name(key: str) -> str:
    """The name of a parameter of submitit's Slurm executor under any of submitit's names.

    Raises:
        PlanError: it has no such parameter.
    """
    if key in GENERIC:
        return GENERIC[key]
    bare = key.removeprefix("slurm_")
    if bare != key:
        bare = GENERIC.get(bare, bare)
        if bare in KNOWN_OPTIONS:
            return bare
    if bare == "dependency":
        raise PlanError(
            f"{key} is not for a single step",
            hint="its place in the plan says what it waits for; set on the executor, or as"
            " backend.dependency, it is for the first steps",
        )
    known = sorted({*GENERIC, *(f"slurm_{name}" for name in KNOWN_OPTIONS)} - {"timeout_min"})
    raise PlanError(f"unknown SLURM argument {key!r}", hint=suggest(key, known))


def _canonical_value(key: str, name: str, value: Any) -> Any:
    if name == "mem" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{int(value)}GB" if value == int(value) else f"{int(value * 1024)}MB"
    if name == "teardown":
        return setup_lines(key, value)
    if name == "additional_parameters":
        return check_additional(key, value)
    if name in ("array_parallelism", "stderr_to_stdout"):
        check_own(key, name, value)
    if name in ENVIRONMENT:  # checked as a whole
        return value
    if isinstance(value, str) and (value or name != "comment"):
        check_text(key, value)
    return value
