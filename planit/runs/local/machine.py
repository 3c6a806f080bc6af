"""What this machine has, what steps ask of it, and who has what at the moment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from planit.errors import PlanError

_UNITS = {"": 2**20, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}  # sbatch's default is MB


@dataclass(frozen=True)
class Request:
    """What a step asks for."""

    cpus: int = 1
    gpus: int = 0
    memory: int = 0

    @classmethod
    def of(cls, step: str, options: Mapping[str, Any]) -> Request:
        """Read submission parameters.

        Raises:
            PlanError: several nodes or tasks, which need a launcher that one machine has not.
        """
        for name, what in (("nodes", "nodes"), ("ntasks_per_node", "tasks on a node")):
            if int(options.get(name) or 1) > 1:
                raise PlanError(
                    f"step {step!r} asks for {options[name]} {what}; the local backend runs each"
                    " step as one process",
                    hint=f"set {name} to 1 to run it here",
                )
        gpus = int(options.get("gpus_per_node") or options.get("gpus_per_task") or 0)
        per_gpu = int(options.get("cpus_per_gpu") or 0) * gpus
        cpus = max(1, int(options.get("cpus_per_task") or 1), per_gpu)
        return cls(cpus, gpus, memory_bytes(options.get("mem")))


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
        """What the settings of the backend say, else what is there."""
        cpus = settings.get("cpus") or len(os.sched_getaffinity(0))
        memory = settings.get("mem_gb")
        memory_here = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        names, gpus = visible_gpus(), settings.get("gpus")
        if gpus is not None:
            names = names[:gpus] if len(names) >= gpus else [str(i) for i in range(gpus)]
        return cls(int(cpus), int(memory * 2**30) if memory else memory_here, names)

    def refuse(self, step: str, request: Request) -> None:
        """Raise PlanError if a request can never be met here."""
        problems: list[tuple[str, object, str]] = []
        if request.cpus > self.cpus:
            problems.append((f"{request.cpus} CPUs", self.cpus, f"backend.cpus={request.cpus}"))
        if request.gpus > len(self.gpus):
            fix = f"backend.gpus={request.gpus}"
            problems.append((f"{request.gpus} GPUs", len(self.gpus), fix))
        if request.memory > self.memory:
            need = -(-request.memory // 2**30)
            have = f"{self.memory / 2**30:.1f}"
            problems.append((f"{need} GB", have, f"backend.mem_gb={need}"))
        if problems:
            asked = " and ".join(f"{what} (there are {have})" for what, have, _ in problems)
            fixes = " ".join(fix for _, _, fix in problems)
            raise PlanError(
                f"step {step!r} asks for {asked}",
                hint=f"ask for less, or say {fixes} to run it here all the same",
            )

    def fits(self, request: Request) -> bool:
        return (
            request.cpus <= self.free_cpus
            and request.memory <= self.free_memory
            and request.gpus <= len(self.free_gpus)
        )

    def take(self, request: Request) -> list[str]:
        """Take what a step asks for; the GPUs that it gets."""
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
