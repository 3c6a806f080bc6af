"""What torch.distributed reads, from what srun sets."""

from __future__ import annotations

import pytest

from planit.job.ranks import of_torch, tasks_per_node

THIRD = {
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
}


@pytest.mark.parametrize(
    ("text", "counts"), [("4", [4]), ("2(x3),1", [2, 2, 2, 1]), ("1,3(x2)", [1, 3, 3])]
)
def test_slurms_short_list_of_tasks_per_node_is_read(text: str, counts: list[int]) -> None:
    assert tasks_per_node(text) == counts


def test_each_rank_has_its_place() -> None:
    local = {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert of_torch(THIRD) == {"RANK": "4", "WORLD_SIZE": "5", **local}


@pytest.mark.parametrize("changed", [{"SLURM_STEP_ID": "batch"}, {"SLURM_STEP_NUM_TASKS": "1"}])
def test_a_single_process_is_not_told_that_it_is_distributed(changed: dict[str, str]) -> None:
    assert of_torch({**THIRD, **changed}) == {}
