"""What this machine has, what each step requests, and what is free at the moment."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planit.errors import PlanError
from planit.graph import Stage
from planit.nodes.flags import count_of, flags_of, task_count
from planit.nodes.step_environment import uses_pyxis

_UNIT_OF = {"cpus": "CPUs", "gpus": "GPUs", "mem_gb": "GB"}
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


@dataclass
class Machine:
    """CPUs, memory and GPUs that steps can have, and what of it is free.

    Attributes:
        cpus: CPUs; by default those that this process may use.
        memory: bytes; by default what the machine has.
        gpus: the GPUs' names, as they are put in CUDA_VISIBLE_DEVICES.
    """

    cpus: int
    memory: int
    gpus: list[str]
    free_cpus: int = field(init=False)
    free_memory: int = field(init=False)
    free_gpus: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.free_cpus, self.free_memory, self.free_gpus = self.cpus, self.memory, list(self.gpus)

    @classmethod
    def found(cls, settings: Mapping[str, Any]) -> Machine:
        """The machine as the settings of the backend give it, else as it is."""
        cpus = settings.get("cpus") or len(os.sched_getaffinity(0))
        memory = settings.get("mem_gb")
        memory_here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        names, gpus = visible_gpus(), settings.get("gpus")
        if gpus is not None:
            names = names[:gpus] if len(names) >= gpus else [str(i) for i in range(gpus)]
        return cls(int(cpus), int(memory * 2**30) if memory else memory_here, names)

    def refuse(self, asked: Iterable[tuple[str, Request]]) -> None:
        """Raise PlanError if a step's request can never be met here; the fix is for all of them."""
        have = {"cpus": self.cpus, "gpus": len(self.gpus), "mem_gb": self.memory / 2**30}
        need: dict[str, int] = {}
        first = ""
        for step, request in asked:
            wanted = {
                "cpus": request.cpus,
                "gpus": request.gpus,
                "mem_gb": -(-request.memory // 2**30) if request.memory > self.memory else 0,
            }
            more = {key: value for key, value in wanted.items() if value > have[key]}
            if more and not first:
                texts = [
                    f"{n} {_UNIT_OF[key]} (there are {math.floor(have[key] * 10) / 10:g})"
                    for key, n in more.items()
                ]
                first = f"step {step!r} asks for {' and '.join(texts)}"
            need |= {key: max(value, need.get(key, 0)) for key, value in more.items()}
        if first:
            words = " ".join(f"backend.{key}={value}" for key, value in need.items())
            raise PlanError(
                first,
                hint=f"ask for less, or set {words} (in Python, submit(..., local={need})) to run"
                " the plan here anyway",
            )

    def fits(self, request: Request) -> bool:
        return (
            request.cpus <= self.free_cpus
            and request.memory <= self.free_memory
            and request.gpus <= len(self.free_gpus)
        )

    def take(self, request: Request) -> list[str]:
        """Take what a step requests; the GPUs that it gets."""
        self.free_cpus -= request.cpus
        self.free_memory -= request.memory
        taken, self.free_gpus = self.free_gpus[: request.gpus], self.free_gpus[request.gpus :]
        return taken

    def give_back(self, request: Request, gpus: list[str]) -> None:
        self.free_cpus += request.cpus
        self.free_memory += request.memory
        self.free_gpus = sorted([*self.free_gpus, *gpus], key=self.gpus.index)


def visible_gpus() -> list[str]:
    """The GPUs of this machine that this process may use."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return [str(number) for number in range(count)]
