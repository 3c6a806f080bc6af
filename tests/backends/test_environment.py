"""What of our environment Slurm's tools get to see."""

from __future__ import annotations

import pytest

from planit.backends.job_variables import without_job_variables
from planit.backends.slurm.environment import (
    default_cluster,
    question_env,
    sbatch_env,
    script_options,
)
from planit.errors import ConfigError

OURS = {
    "PATH": "/bin",
    "HOME": "/home/me",
    "SLURM_CONF": "/etc/slurm.conf",
    "SLURM_CONF_SERVER": "ctl:6817",
    "SLURM_JWT": "token",
    "SLURMD_NODENAME": "n1",
}
OF_AN_ALLOCATION = {
    "SLURM_JOB_ID": "7",
    "SLURM_CPU_BIND": "mask_cpu:0x1",
    "SLURM_NTASKS": "8",
    "SLURM_MEM_PER_CPU": "100",
    "SLURM_UMASK": "0000",
    "SLURM_CLUSTERS": "wice",
    "SLURM_TIME_FORMAT": "%s",
    "SLURM_DEBUG_FLAGS": "Protocol",
    "SBATCH_MEM_BIND": "local",
}
FOR_EYES = {
    "SQUEUE_ACCOUNT": "other",
    "SQUEUE_NAMES": "x",
    "SQUEUE_STATES": "R",
    "SQUEUE_FORMAT2": "jobid",
    "SACCT_FEDERATION": "1",
    "SCANCEL_INTERACTIVE": "1",
    "SCANCEL_STATE": "RUNNING",
    "SCONTROL_FUTURE": "1",
    "SALLOC_PARTITION": "x",
    "SRUN_DEBUG": "1",
    "SINFO_FORMAT": "%n",
    "SPRIO_FORMAT": "%n",
}


def test_questions_are_asked_without_what_would_change_the_answer() -> None:
    kept = question_env({**OURS, **OF_AN_ALLOCATION, **FOR_EYES, "SBATCH_ACCOUNT": "a"})
    assert kept == {**OURS, "SLURM_BITSTR_LEN": "0"}


def test_the_environment_is_that_of_this_process_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SQUEUE_NAMES", "x")
    monkeypatch.setenv("SBATCH_ARRAY_INX", "0-5")
    monkeypatch.setenv("SLURM_CONF", "/x/slurm.conf")
    for env in (question_env(), sbatch_env("#!/bin/sh\n")):
        assert "SBATCH_ARRAY_INX" not in env
        assert env["SLURM_CONF"] == "/x/slurm.conf"
    assert "SQUEUE_NAMES" not in question_env()


def test_sbatch_hands_on_what_is_not_its_own_to_the_job() -> None:
    here = {name: value for name, value in FOR_EYES.items() if name != "SRUN_DEBUG"}  # srun's own
    assert sbatch_env("", {**OURS, **OF_AN_ALLOCATION, **FOR_EYES}) == {**OURS, **here}


OF_A_RANK = {
    "CUDA_VISIBLE_DEVICES": "0",
    "MASTER_ADDR": "n1",
    "RANK": "3",
    "LOCAL_WORLD_SIZE": "2",
    "SRUN_CPUS_PER_TASK": "8",
    "PMIX_RANK": "3",
    "PLANIT_STEP": "train",
    "PLANIT_JOB": "1.3",
    "PLANIT_CONTAINER": "apptainer exec x.sif",
    "SUBMITIT_EXECUTOR": "slurm",
}
USERS = {"PLANIT_RUNS_DIR": "/runs", "PYTHONPATH": "/mine", "SRUN_SLURMD_DEBUG": "1"}


@pytest.mark.parametrize("job", [{"SLURM_JOB_ID": "7"}, {"PLANIT_STEP": "outer"}])
def test_a_job_submitted_from_inside_a_job_gets_none_of_its_variables(job: dict[str, str]) -> None:
    ours = {name: OURS[name] for name in ("PATH", "HOME", "SLURM_CONF")}
    assert sbatch_env("", {**ours, **OF_A_RANK, **USERS, **job}) == {**ours, **USERS}
    inside = without_job_variables({**ours, **OF_A_RANK, **USERS, **job}, gpus=True)
    gpus = {"CUDA_VISIBLE_DEVICES": "0"}
    assert {k: v for k, v in inside.items() if k not in job} == {**ours, **USERS, **gpus}


def test_what_a_user_sets_outside_of_jobs_reaches_the_job() -> None:
    own = {"CUDA_VISIBLE_DEVICES": "1", "MASTER_PORT": "29500", "PMI_DEBUG": "1"}
    assert sbatch_env("", own) == own


@pytest.mark.parametrize(
    "name",
    (
        "ARRAY_INX WAIT REQUEUE NO_REQUEUE OUTPUT ERROR INPUT OPEN_MODE JOB_NAME CLUSTERS DEBUG"
        " IGNORE_PBS HOLD DEPENDENCY TEST_ONLY SOME_NEW_OPTION"
    ).split(),
)
def test_sbatch_gets_no_option_that_planit_decides_on(name: str) -> None:
    assert sbatch_env("#!/bin/sh\n", {f"SBATCH_{name}": "1"}) == {}


SITE = {"SBATCH_ACCOUNT": "a", "SBATCH_QOS": "q", "SBATCH_EXPORT": "NONE", "SBATCH_TIMELIMIT": "9"}


def test_what_a_site_sets_for_every_job_is_kept_unless_the_script_sets_it() -> None:
    assert sbatch_env("#!/bin/sh\nhostname\n", SITE) == SITE
    script = "#!/bin/sh\n#SBATCH --account=b\n\n# text\n#SBATCH -t 5\nhostname\n#SBATCH --qos=x\n"
    assert script_options(script) == {"account", "t"}
    assert sbatch_env(script, SITE) == {"SBATCH_QOS": "q", "SBATCH_EXPORT": "NONE"}


def test_one_kind_of_memory_in_the_script_displaces_all_kinds() -> None:
    memory = {f"SBATCH_MEM_PER_{what}": "1G" for what in ("CPU", "GPU", "NODE")}
    assert sbatch_env("#SBATCH --mem=2GB\n", {**memory, "SBATCH_GPUS": "1"}) == {"SBATCH_GPUS": "1"}


def test_the_default_cluster_is_the_one_that_sbatch_would_take() -> None:
    assert default_cluster({}) is None
    assert default_cluster({"SLURM_CLUSTERS": ""}) is None
    assert default_cluster({"SBATCH_CLUSTERS": "beta"}) == "beta"
    assert default_cluster({"SBATCH_CLUSTERS": "beta", "SLURM_CLUSTERS": "alpha"}) == "alpha"


@pytest.mark.parametrize("value", ["alpha,beta", "all"])
def test_several_default_clusters_are_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=f"SLURM_CLUSTERS={value} names several") as refused:
        default_cluster({"SLURM_CLUSTERS": value})
    assert "set SLURM_CLUSTERS to one" in str(refused.value.hint)
