"""What of our environment Slurm's command line tools get to see.

Each tool reads options from its environment (the section ENVIRONMENT VARIABLES of its manual).
One that is set for a human's eyes, or that belongs to an allocation planit runs in, would change
what planit asks and therefore what it believes. So nothing of that kind is handed on unless it
stands here, with its reason.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from planit.backends.job_variables import without_job_variables
from planit.errors import ConfigError

_READ_BY_SLURM = (
    "SLURM_",
    "SACCT_",
    "SALLOC_",
    "SBATCH_",
    "SCANCEL_",
    "SCONTROL_",
    "SINFO_",
    "SPRIO_",
    "SQUEUE_",
    "SRUN_",
)
# sbatch hands its environment on to the job, in which a user may want the others; it reads these.
_READ_BY_SBATCH = ("SLURM_", "SBATCH_")

# Where Slurm is, and who asks: without these some sites cannot be reached at all.
_KEPT_ALWAYS = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"})
# Task lists of arrays are otherwise cut after 64 characters, and the tasks behind that unseen.
_SET_FOR_QUESTIONS = {"SLURM_BITSTR_LEN": "0"}

_MEMORY = ("mem", "mem-per-cpu", "mem-per-gpu")
_GPUS = ("gpus", "gpus-per-node", "gpus-per-socket", "gpus-per-task")
# What a site or a user sets on purpose for every job: whom it is charged to, where it may run and
# what it gets there. sbatch prefers its environment to the script, so each gives way where the
# script has one of the options beside it (memory and GPUs exclude each other, too).
#
# Left out, because planit itself decides on them (or a later Slurm may have them): ARRAY_INX,
# CLUSTERS, DEBUG, DEPENDENCY, ERROR, HOLD, IGNORE_PBS, INPUT, JOB_NAME, NO_REQUEUE, OPEN_MODE,
# OUTPUT, REQUEUE, TEST_ONLY, WAIT; and MEM_BIND, which sbatch leaves in its jobs.
_KEPT_FOR_SBATCH: dict[str, tuple[str, ...]] = {
    "SBATCH_ACCOUNT": ("account", "A"),
    "SBATCH_ACCTG_FREQ": ("acctg-freq",),
    "SBATCH_BATCH": ("batch",),
    "SBATCH_BURST_BUFFER": ("bb", "bbf"),
    "SBATCH_CLUSTER_CONSTRAINT": ("cluster-constraint",),
    "SBATCH_CONSTRAINT": ("constraint", "C"),
    "SBATCH_CONTAINER": ("container",),
    "SBATCH_CONTAINER_ID": ("container-id",),
    "SBATCH_CORE_SPEC": ("core-spec", "S"),
    "SBATCH_CPU_FREQ_REQ": ("cpu-freq",),
    "SBATCH_CPUS_PER_GPU": ("cpus-per-gpu", "cpus-per-task", "c"),
    "SBATCH_DELAY_BOOT": ("delay-boot",),
    "SBATCH_DISTRIBUTION": ("distribution", "m"),
    "SBATCH_EXCLUSIVE": ("exclusive",),
    "SBATCH_EXPORT": ("export",),
    "SBATCH_GET_USER_ENV": ("get-user-env",),
    "SBATCH_GPU_BIND": ("gpu-bind",),
    "SBATCH_GPU_FREQ": ("gpu-freq",),
    "SBATCH_GPUS": (*_GPUS, "G"),
    "SBATCH_GPUS_PER_NODE": (*_GPUS, "G"),
    "SBATCH_GPUS_PER_SOCKET": (*_GPUS, "G"),
    "SBATCH_GPUS_PER_TASK": (*_GPUS, "G"),
    "SBATCH_GRES": ("gres",),
    "SBATCH_GRES_FLAGS": ("gres-flags",),
    "SBATCH_HINT": ("hint",),
    "SBATCH_MEM_PER_CPU": _MEMORY,
    "SBATCH_MEM_PER_GPU": _MEMORY,
    "SBATCH_MEM_PER_NODE": _MEMORY,
    "SBATCH_NETWORK": ("network",),
    "SBATCH_NO_KILL": ("no-kill", "k"),
    "SBATCH_OVERCOMMIT": ("overcommit", "O"),
    "SBATCH_PARTITION": ("partition", "p"),
    "SBATCH_POWER": ("power",),
    "SBATCH_PROFILE": ("profile",),
    "SBATCH_QOS": ("qos", "q"),
    "SBATCH_REQ_SWITCH": ("switches",),
    "SBATCH_RESERVATION": ("reservation",),
    "SBATCH_SIGNAL": ("signal",),
    "SBATCH_SPREAD_JOB": ("spread-job",),
    "SBATCH_THREADS_PER_CORE": ("threads-per-core",),
    "SBATCH_THREAD_SPEC": ("thread-spec",),
    "SBATCH_TIMELIMIT": ("time", "t"),
    "SBATCH_TRES_PER_TASK": ("tres-per-task",),
    "SBATCH_USE_MIN_NODES": ("use-min-nodes",),
    "SBATCH_WAIT4SWITCH": ("switches",),
    "SBATCH_WAIT_ALL_NODES": ("wait-all-nodes",),
    "SBATCH_WCKEY": ("wckey",),
}
# Read by planit itself. Where both are set, sbatch takes the first (tried on Slurm 22.05).
_CLUSTERS = ("SLURM_CLUSTERS", "SBATCH_CLUSTERS")


def question_env(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of every tool but sbatch."""
    source = os.environ if environ is None else environ
    kept = {
        name: value
        for name, value in source.items()
        if not name.startswith(_READ_BY_SLURM) or name in _KEPT_ALWAYS
    }
    return kept | _SET_FOR_QUESTIONS


def sbatch_env(script: str, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of sbatch for a script, whose own options win."""
    source = without_job_variables(os.environ if environ is None else environ, gpus=False)
    own = script_options(script)
    kept = {name for name, options in _KEPT_FOR_SBATCH.items() if own.isdisjoint(options)}
    return {
        name: value
        for name, value in source.items()
        if not name.startswith(_READ_BY_SBATCH) or name in _KEPT_ALWAYS or name in kept
    }


def script_options(script: str) -> set[str]:
    """The options of a script's ``#SBATCH`` lines, which end at the first command."""
    found: set[str] = set()
    for line in script.splitlines():
        if line.strip() and not line.startswith("#"):
            break
        if match := re.match(r"#SBATCH\s+--?([A-Za-z][\w-]*)", line):
            found.add(match[1])
    return found


def default_cluster(environ: Mapping[str, str] | None = None) -> str | None:
    """The cluster for steps that name none, where a site sets one; None is the machine's own.

    Raises:
        ConfigError: several are named. sbatch would choose one anew for each job.
    """
    source = os.environ if environ is None else environ
    for name in _CLUSTERS:
        clusters = [part.strip() for part in source.get(name, "").split(",") if part.strip()]
        if len(clusters) > 1 or clusters == ["all"]:
            raise ConfigError(
                f"{name}={source[name]} names several clusters, and the jobs of a run that wait"
                " for each other must share one",
                hint=f"set {name} to one of them, or name a cluster for every step",
            )
        if clusters:
            return clusters[0]
    return None
