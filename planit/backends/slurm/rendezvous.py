"""Where the tasks of a job find each other: lines of the scripts of jobs with several tasks.

The worker sets the rest of what torch.distributed reads in each task, see `planit.job.ranks`.
"""

from __future__ import annotations

RENDEZVOUS = [
    "# Where the first task is: the address that Slurm has of this node, and a port that is free.",
    'MASTER_ADDR=$(timeout 10 scontrol show node "$SLURMD_NODENAME" 2> /dev/null |',
    "    sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p')",
    "MASTER_ADDR=${MASTER_ADDR:-$(hostname)} MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))",
    'while (: < "/dev/tcp/127.0.0.1/$MASTER_PORT") 2> /dev/null; do',
    "    MASTER_PORT=$((MASTER_PORT + 1))",
    "done",
    "export MASTER_ADDR MASTER_PORT",
]
"""
Those of the job's first node, where its first task runs. A user's own ``env`` or ``setup`` lines
come later, and win. The ports are below those that Linux gives to clients.
"""
FOR_SRUN = [
    "# srun does not take this over from sbatch by itself (since Slurm 22.05).",
    '[ -z "$SLURM_CPUS_PER_TASK" ] || export SRUN_CPUS_PER_TASK="$SLURM_CPUS_PER_TASK"',
]
