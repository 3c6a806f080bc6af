"""What torch.distributed reads in each process of a step that runs as several Slurm tasks.

The job's script has set MASTER_ADDR and MASTER_PORT. Slurm's variables are those of the srun
manual, "OUTPUT ENVIRONMENT VARIABLES".
"""

from __future__ import annotations

import re
from collections.abc import Mapping


def of_torch(environ: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK and LOCAL_WORLD_SIZE of this process; nothing for a single one.

    A single process gets none: some libraries take them for a distributed run.
    """
    if not environ.get("SLURM_STEP_ID", "").isdigit():  # not under srun
        return {}
    world = int(environ.get("SLURM_STEP_NUM_TASKS", "1"))
    if world == 1:
        return {}
    per_node = tasks_per_node(environ.get("SLURM_STEP_TASKS_PER_NODE", str(world)))
    node = int(environ.get("SLURM_NODEID", "0"))
    return {
        "RANK": environ["SLURM_PROCID"],
        "WORLD_SIZE": str(world),
        "LOCAL_RANK": environ.get("SLURM_LOCALID", "0"),
        "LOCAL_WORLD_SIZE": str(per_node[node]),
    }


def tasks_per_node(text: str) -> list[int]:
    """Slurm's ``2(x3),1``: two tasks on each of three nodes, then one."""
    found: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        found += [int(count)] * int(times or 1)
    return found
