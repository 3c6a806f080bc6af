"""What a step requests of a machine, read from its submission parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from planit.errors import PlanError
from planit.graph import Stage
from planit.nodes.flags import count_of, flags_of, task_count
from planit.nodes.step_environment import uses_pyxis

_GPU_FLAGS = ("gpus_per_node", "gpus_per_task", "gpus")
_UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}  # sbatch's default is MB


@dataclass(frozen=True)
class Request:
    """What a step requests; memory in bytes."""

    cpus: int = 1
    gpus: int = 0
    memory: int = 0

    @classmethod
    def of(cls, step: str, options: Mapping[str, Any]) -> Request:
        """Read submission parameters: submitit's names, and sbatch's in additional_parameters.

        Raises:
            PlanError: several nodes or tasks, which need a launcher that one machine does not have.
        """
        given = flags_of(options)
        for name, called, what in (
            ("nodes", "nodes", "nodes"),
            ("ntasks_per_node", "tasks_per_node", "tasks on a node"),
            ("ntasks", "ntasks", "tasks"),
        ):
            if count_of(given.get(name) or 1) > 1:
                raise PlanError(
                    f"step {step!r} asks for {given[name]} {what}; the local backend runs each"
                    " step as one process",
                    hint=f"set {called} to 1 to run it here",
                )
        if (tasks := task_count({**given, "nodes": 1})) > 1:
            raise PlanError(
                f"step {step!r} asks for {tasks} tasks; the local backend runs each step as one"
                " process",
                hint="ask for one GPU, or for no task of each",
            )
        gpus = max(count_of(given.get(name)) for name in _GPU_FLAGS)
        gpus = gpus or _gpus_in(given.get("gres"))
        cpus = max(
            1, count_of(given.get("cpus_per_task")), gpus * count_of(given.get("cpus_per_gpu"))
        )
        memory = (
            memory_bytes(given.get("mem"))
            or memory_bytes(given.get("mem_per_cpu")) * cpus
            or memory_bytes(given.get("mem_per_gpu")) * gpus
        )
        return cls(cpus, gpus, memory)


def refuse_larger_steps(stage: Stage) -> None:
    """Raise PlanError for a packed step that asks for more than its job does."""
    job = Request.of(stage.name, stage.resources.options)
    whole_node = flags_of(stage.resources.options).get("exclusive") is not None
    for part in stage.packed:
        step = stage.tasks[part.tasks[0]].name
        own = Request.of(step, part.resources.options)
        if uses_pyxis(part.resources.options):
            raise PlanError(
                f"step {step!r}: pyxis is a plugin of srun's, which does not start packed steps",
                hint="use apptainer, or do not pack it",
            )
        for what, has, needs in (
            ("CPUs", math.inf if whole_node else job.cpus, own.cpus),
            ("GPUs", job.gpus, own.gpus),
            ("bytes of memory", job.memory or math.inf, own.memory),
        ):
            if needs > has:
                raise PlanError(
                    f"step {step!r} asks for {needs} {what}, and the job that it is packed in for"
                    f" {has}",
                    hint="the job of a Packed needs at least what its largest step does",
                )


def _gpus_in(gres: Any) -> int:
    """The GPUs in sbatch's ``--gres``: ``gpu``, ``gpu:2``, ``gpu:a100:2,shard:1``."""
    wanted = [one.strip() for one in str(gres or "").split(",")]
    gpus = [one for one in wanted if one.partition(":")[0] == "gpu"]
    return sum(count_of(one) if ":" in one else 1 for one in gpus)


def memory_bytes(text: Any) -> int:
    """Sbatch's ``--mem``: a number and a unit; nothing (or 0) asks for nothing here."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", str(text or "0").upper())
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0
