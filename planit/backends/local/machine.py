"""What this machine has, and what of it is free at the moment."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from planit.backends.step_request import Request
from planit.errors import PlanError

_UNIT_OF = {"cpus": "CPUs", "gpus": "GPUs", "mem_gb": "GB"}


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
