"""Step functions of the sweep tests."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path


def fail_if(fails: bool) -> None:
    if fails:
        raise ValueError("unlucky")


def fail_unless(flag: str, bad: bool) -> None:
    if bad and not Path(flag).exists():
        raise ValueError("not mended yet")


def overlap(path: str, number: int) -> None:
    """Note how many are here at once, this one included."""
    room = Path(f"{path}.room")
    room.mkdir(exist_ok=True)
    me = room / uuid.uuid4().hex
    me.touch()
    with Path(path).open("a") as file:
        file.write(f"{len(list(room.iterdir()))}\n")
    time.sleep(0.7)
    me.unlink()


def scored(lr: float, needs: str) -> dict[str, float]:
    """What a training returns; one that has gone wrong needs a file."""
    if lr == 2 and not Path(needs).exists():
        raise ValueError("not mended yet")
    return {"accuracy": lr / 2}


def rank() -> dict[str, int]:
    return {"rank": int(os.environ["SLURM_PROCID"])}
