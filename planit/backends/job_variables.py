"""The variables by which a job knows itself, and that no job submitted from inside it may have.

What a user has set stays: they are taken out only where the submission itself runs in a job (its
batch script, salloc, a step of srun) or in a step of planit's.
"""

from __future__ import annotations

from collections.abc import Mapping

TORCH = frozenset(
    {"MASTER_ADDR", "MASTER_PORT", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}
)
GPUS = frozenset(
    {"CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"}
)
_SRUNS = frozenset({"SRUN_CPUS_PER_TASK", "SRUN_DEBUG"})  # set by jobs' scripts and by srun
_PREFIXES = ("OMPI_COMM_", "PLANIT_", "PMI_", "PMI2_", "PMIX_", "SUBMITIT_", "TORCHELASTIC_")
# What a user sets for planit itself.
_USERS = frozenset({"PLANIT_RUNS_DIR", "PLANIT_RECORD_WAIT_S", "PLANIT_TRUST_GROUP"})


def without_job_variables(environ: Mapping[str, str], *, gpus: bool) -> dict[str, str]:
    """An environment without those of the job that this process runs in, if it does.

    Args:
        environ: the environment of this process.
        gpus: whether to keep which GPUs the job has, for what runs inside it.
    """
    if "SLURM_JOB_ID" not in environ and "PLANIT_STEP" not in environ:
        return dict(environ)
    names = TORCH | _SRUNS | (frozenset() if gpus else GPUS)
    return {
        name: value
        for name, value in environ.items()
        if name in _USERS or not (name in names or name.startswith(_PREFIXES))
    }
