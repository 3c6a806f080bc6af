"""What the ranks of the steps in test_ranks.py run."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from examples import all_reduce

NAMES = (
    "MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    "SLURM_PROCID", "SLURMD_NODENAME",
)  # fmt: skip


def add_up(folder: str) -> dict[str, float]:
    """Note the variables of this rank, and meet the others."""
    found = {name: os.environ.get(name) for name in NAMES}
    Path(folder, f"{os.environ['SLURM_PROCID']}.json").write_text(json.dumps(found))
    print("rank", os.environ["SLURM_PROCID"], flush=True)
    return all_reduce.main(2.0)


def one_fails(folder: str) -> None:
    """Rank 2 fails while its peers wait for it; those that are not ended would wait for minutes."""
    if os.environ["SLURM_PROCID"] == "2":
        raise ConnectionError("rank two is gone")
    Path(folder, f"pid{os.environ['SLURM_PROCID']}").write_text(str(os.getpid()))
    time.sleep(300)
