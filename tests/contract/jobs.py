"""What the jobs of the suite about jobs run."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

import submitit
from submitit.helpers import TorchDistributedEnvironment

FACTS = ("cluster", "num_tasks", "num_nodes", "node", "global_rank", "local_rank", "hostname")


def value() -> dict[str, Any]:
    return {"loss": 0.5, "path": Path("x"), "tuple": (1, 2)}


def nothing() -> None:
    return None


def function() -> Any:
    return lambda number: number + 1


def fails(text: str) -> NoReturn:
    raise ValueError(text)


class NoTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def fails_without_text() -> NoReturn:
    raise NoTextError


def leaves(code: int) -> NoReturn:
    sys.exit(code)


def unpicklable() -> Any:
    return threading.Lock()


def prints() -> None:
    print("to stdout")
    print("to stderr", file=sys.stderr)


def environment() -> dict[str, Any]:
    """What submitit tells a job about itself."""
    env, torch = submitit.JobEnvironment(), TorchDistributedEnvironment()
    return {
        **{name: getattr(env, name) for name in FACTS},
        "hosts": len(env.hostnames),
        "torch": (torch.rank, torch.world_size, torch.local_rank, torch.local_world_size),
        "id": env.job_id,
        "folder": str(env.paths.folder) if "SUBMITIT_FOLDER" in os.environ else None,
    }


def rank() -> int:
    return submitit.JobEnvironment().global_rank


def sleeps(seconds: float) -> None:
    time.sleep(seconds)
