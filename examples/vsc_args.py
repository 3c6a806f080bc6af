"""The presets for the VSC (KU Leuven) of conf/slurm/, for plans in Python.

Fill in `ACCOUNT` and `MAIL_USER`. In a GPU partition a job should take no more CPUs and memory per
GPU than its share of a node, which these are (docs.vscentrum.be, "Site-specific Slurm info").
"""

from __future__ import annotations

from typing import Any

from planit import MailType, SlurmArgs

ACCOUNT = "my-account"
MAIL_USER = "me@university.edu"
_EVERYWHERE: dict[str, Any] = {
    "account": ACCOUNT,
    "mail_user": MAIL_USER,
    "mail_type": [MailType.END, MailType.FAIL],
}

WICE_BATCH = SlurmArgs(
    time="01:00:00", partition="batch", cluster="wice", cpus_per_task=72, **_EVERYWHERE
)
WICE_A100 = SlurmArgs(
    time="04:00:00",
    partition="gpu_a100",
    cluster="wice",
    gpus_per_node=1,
    cpus_per_gpu=18,
    **_EVERYWHERE,
)
WICE_A100_DEBUG = SlurmArgs(
    time="01:00:00",
    partition="gpu_a100_debug",
    cluster="wice",
    gpus_per_node=1,
    cpus_per_gpu=64,
    **_EVERYWHERE,
)
WICE_H100 = SlurmArgs(
    time="04:00:00",
    partition="gpu_h100",
    cluster="wice",
    gpus_per_node=1,
    cpus_per_gpu=16,
    **_EVERYWHERE,
)
MINDWELL_B200 = SlurmArgs(
    time="04:00:00",
    partition="gpu_b200",
    cluster="mindwell",
    gpus_per_node=1,
    cpus_per_gpu=24,
    additional_params={"mem_per_gpu": "194400M"},  # MiB, an eighth of a node
    **_EVERYWHERE,
)
# Retired in 2026; the V100 nodes are the last to go.
GENIUS_BATCH = SlurmArgs(
    time="01:00:00", partition="batch", cluster="genius", cpus_per_task=36, **_EVERYWHERE
)
GENIUS_V100 = SlurmArgs(
    time="04:00:00",
    partition="gpu_v100",
    cluster="genius",
    gpus_per_node=1,
    cpus_per_gpu=4,
    **_EVERYWHERE,
)
