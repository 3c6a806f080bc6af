"""A plan that is submitted from inside an allocation, and from a step of srun in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from planit import Run
from tests.cluster import Cluster
from tests.helpers import ROOT
from tests.slurm.tools import settled

pytestmark = [pytest.mark.slurm]

PROGRAM = """
import sys
from pathlib import Path
from planit import Step, SlurmArgs
from tests.slurm import steps
from tests.slurm.tools import submit
base = Path(sys.argv[1])
step = Step("inner", steps.whole_environment, SlurmArgs("5", "batch"), str(base / "seen"))
submit(base / "runs", step)
"""


@pytest.mark.parametrize("inside", [["srun", "-n1"], []], ids=["srun", "salloc"])
def test_a_job_has_nothing_of_the_allocation_it_was_submitted_from(
    slurm: Cluster, tmp_path: Path, inside: list[str]
) -> None:
    own = {"RANK": "3", "MASTER_ADDR": "nowhere", "PMI_RANK": "3", "PLANIT_RESULT": "/x"}
    program = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    subprocess.run(
        ["salloc", "-Q", "-p", "batch", "-t", "5", "-c3", "--gres=gpu:a100:2", *inside, *program],
        env={**os.environ, **own, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=120,
    )
    run = Run.open(base=tmp_path / "runs")
    assert settled(run) == {"inner": "DONE"}
    seen = json.loads((tmp_path / "seen").read_text())
    assert not own.keys() & seen.keys()
    assert not {"CUDA_VISIBLE_DEVICES", "SRUN_DEBUG", "SLURM_STEP_ID"} & seen.keys()
    assert seen["SLURM_CPUS_ON_NODE"] == "1"
    assert seen["SLURM_JOB_ID"] == run.status().step("inner").job
