"""``planit init`` on a real Slurm: what it reads, and that a plan runs with what it wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.app.test_overrides import steps_for
from tests.cluster import Cluster
from tests.helpers import Done, planit_here, write
from tests.slurm.tools import slurm_says

PRESETS = ["batch", "cpu", "gpu_a100"]


@pytest.fixture
def written(slurm: Cluster, empty_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Done:
    """What init says in an empty folder."""
    monkeypatch.delenv("PLANIT_RUNS_DIR", raising=False)
    done = planit_here("init", "first")
    assert (done.code, done.err) == (0, "")
    return done


def test_it_writes_a_preset_for_each_partition_and_a_plan_that_runs_with_them(
    written: Done,
) -> None:
    presets = sorted(path.stem for path in Path("conf/slurm").iterdir())
    assert presets == PRESETS
    assert planit_here("submit").code == 0
    assert planit_here("wait").code == 0
    assert "put your training here" in planit_here("logs", "train").out
    job = slurm_says("squeue", "-h", "-t", "all", "-n", "first/train", "-o", "%A")
    shown = slurm_says("scontrol", "show", "job", job)
    assert "Partition=batch" in shown
    assert "TRES=cpu=16,mem=5000M," in shown
    assert "gres/gpu=1" in shown


@pytest.mark.parametrize("name", PRESETS)
def test_slurm_takes_each_of_the_presets(written: Done, name: str) -> None:
    options = steps_for(f"slurm={name}")["train"].resources.options
    more = options["additional_parameters"]
    flags = {
        "time": options["time"],
        "partition": options["partition"],
        "gpus-per-node": options.get("gpus_per_node"),
        "cpus-per-gpu": options.get("cpus_per_gpu"),
        "cpus-per-task": options.get("cpus_per_task"),
        "mem": options.get("mem"),
        "mem-per-gpu": more.get("mem_per_gpu"),
        "account": options.get("account"),
        "clusters": more["clusters"],
    }
    given = [f"--{flag}={value}" for flag, value in flags.items() if value is not None]
    slurm_says("sbatch", "--test-only", *given, "--wrap", "true")


def test_the_other_cluster_is_told_and_read_when_it_is_named(written: Done) -> None:
    assert "planit init --cluster alpha --cluster beta reads all" in written.out
    done = planit_here("init", "second", "--cluster", "beta")
    assert done.code == 0
    train = steps_for("plan=second", "slurm=beta_gpu_a100", "slurm@cpu=beta_cpu")["train"]
    assert train.resources.cluster == "beta"
    assert "slurm=beta_batch slurm@cpu=beta_cpu" in done.out


def test_a_cluster_that_there_is_not_is_an_error_that_names_those_that_there_are(
    slurm: Cluster, empty_dir: Path
) -> None:
    done = planit_here("init", "--cluster", "gamma")
    assert (done.code, done.out, list(empty_dir.iterdir())) == (2, "", [])
    assert done.err.startswith("planit: error: --cluster gamma: ")
    assert done.err.splitlines()[1] == "  hint: known: alpha, beta"


def test_tools_of_slurm_that_fail_are_an_error_and_leave_nothing(
    slurm: Cluster, empty_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = write(empty_dir.parent / "slurm.conf", "NoSuchSetting=1\n")
    monkeypatch.setenv("SLURM_CONF", str(conf))
    done = planit_here("init")
    assert (done.code, done.out, list(empty_dir.iterdir())) == (4, "", [])
    assert done.err.startswith("planit: error: scontrol: ")
    assert "planit init --no-slurm" in done.err.splitlines()[1]
