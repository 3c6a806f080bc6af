"""What a step asks Slurm for by the fields of SlurmArgs is what its job has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from planit import Parallel, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.slurm import steps
from tests.slurm.tools import of_run, settled, slurm_says, submit

pytestmark = [pytest.mark.slurm]


def test_a_job_has_what_the_fields_ask_for(slurm: Cluster, tmp_path: Path) -> None:
    one = SlurmArgs(
        "5", "batch,gpu_a100", "a100:1", mem_per_cpu="100M", exclude="n2", begin="now+1",
        signal="USR1@60", switches="1@10", exclusive=True,
    )  # fmt: skip
    other = SlurmArgs("5", "batch", nodelist="n2", gres="gpu:a100:2", mem_per_gpu="50M")
    run = submit(
        tmp_path, Parallel(Step("one", steps.succeed, one), Step("other", steps.succeed, other))
    )
    assert set(settled(run).values()) == {"DONE"}
    first, second = shown(run, "one"), shown(run, "other")
    assert first["Partition"] in ("batch", "gpu_a100")
    assert (first["TresPerNode"], first["MinMemoryCPU"]) == ("gres:gpu:a100:1", "100M")
    assert (first["ExcNodeList"], first["OverSubscribe"]) == ("n2", "NO")
    assert first["NodeList"] == "n1"
    assert (second["ReqNodeList"], second["NodeList"]) == ("n2", "n2")
    assert (second["TresPerNode"], second["MemPerTres"]) == ("gres:gpu:a100:2", "gres:gpu:50")


def shown(run: Run, step: str) -> dict[str, str]:
    """What Slurm has of a step's job."""
    text = slurm_says("scontrol", "show", "job", of_run(run, step))
    return dict(re.findall(r"(\S+?)=(\S*)", text))
