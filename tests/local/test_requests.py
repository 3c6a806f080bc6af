"""What a step's submission parameters ask of this machine."""

from __future__ import annotations

from typing import Any

import pytest

from planit.backends.local.machine import Machine
from planit.backends.step_request import Request
from planit.errors import PlanError

GB = 2**30


@pytest.mark.parametrize(
    ("options", "asks"),
    [
        ({}, Request()),
        ({"cpus_per_task": 4}, Request(cpus=4)),
        ({"mem": "3GB"}, Request(memory=3 * GB)),
        ({"mem": "512"}, Request(memory=GB // 2)),
        ({"mem_per_cpu": "2G", "cpus_per_task": 3}, Request(cpus=3, memory=6 * GB)),
        ({"mem_per_gpu": "8G", "gpus_per_node": 2}, Request(gpus=2, memory=16 * GB)),
        ({"gpus_per_node": 2, "cpus_per_gpu": 3}, Request(cpus=6, gpus=2)),
        ({"gpus_per_node": "a100:2"}, Request(gpus=2)),
        ({"gpus_per_task": 1}, Request(gpus=1)),
        ({"gres": "gpu:a100:2,shard:1"}, Request(gpus=2)),
        ({"gres": "gpu"}, Request(gpus=1)),
        ({"gres": "shard:4"}, Request()),
        ({"additional_parameters": {"cpus-per-gpu": 4, "gpus": 1}}, Request(cpus=4, gpus=1)),
        ({"cpus_per_task": 2, "additional_parameters": {"cpus_per_task": 4}}, Request(cpus=4)),
    ],
)
def test_requests_are_read_as_sbatch_reads_them(options: dict[str, Any], asks: Request) -> None:
    assert Request.of("s", options) == asks


def test_a_little_more_memory_than_there_is_is_too_much() -> None:
    almost = Machine(cpus=1, memory=32 * GB - 30 * 2**20, gpus=[])
    almost.refuse([("fits", Request(memory=almost.memory))])
    with pytest.raises(PlanError, match=r"'s' asks for 32 GB \(there are 31.9\)"):
        almost.refuse([("s", Request(memory=32 * GB))])


@pytest.mark.parametrize("key", ["ntasks", "ntasks-per-node", "nodes"])
def test_several_processes_in_additional_parameters_are_refused(key: str) -> None:
    with pytest.raises(PlanError, match="step 's' asks for 2"):
        Request.of("s", {"additional_parameters": {key: 2}, "nodes": 1, "ntasks_per_node": 1})


def test_a_task_for_each_of_several_gpus_is_refused() -> None:
    more = {"ntasks_per_gpu": 1, "gpus": 2}
    with pytest.raises(PlanError, match="step 's' asks for 2 tasks"):
        Request.of("s", {"additional_parameters": more})


@pytest.mark.parametrize(
    ("key", "called"), [("nodes", "nodes"), ("ntasks_per_node", "tasks_per_node")]
)
def test_several_processes_for_a_step_are_refused(key: str, called: str) -> None:
    with pytest.raises(PlanError, match="step 's' asks for 2") as caught:
        Request.of("s", {key: 2})
    assert f"set {called} to 1" in (caught.value.hint or "")
