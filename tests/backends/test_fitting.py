"""What a step asks for, held against the partitions of a site."""

from __future__ import annotations

from typing import Any

import pytest

from planit.backends.slurm.fitting import misfits
from planit.backends.slurm.partitions import Partition
from planit.nodes.slurm_args import resources_of
from tests.backends.test_partitions import A100, recorded_site

SITE: dict[str, Partition] = recorded_site("26.05")


def told(accounts: tuple[str, ...] = (), **given: Any) -> list[tuple[str, str]]:
    """The fields and messages of a request."""
    options = resources_of({"slurm_time": "10", **given}).options
    return [(one.field, one.message) for one in misfits(options, [*SITE.values()], accounts)]


def asks(**given: Any) -> list[str]:
    """The fields that do not fit."""
    return [field for field, _ in told(**given)]


def test_a_request_that_fits_a_node_is_fine_also_at_the_limit() -> None:
    assert asks(slurm_partition="main", slurm_cpus_per_task=256) == []
    assert asks(slurm_partition="any", slurm_time="30") == []
    assert asks(slurm_partition="main", slurm_gpus_per_node=f"{A100}:4") == []


def test_the_default_partition_is_that_of_a_step_that_names_none() -> None:
    [(field, message)] = told(slurm_cpus_per_task=257)
    assert (field, message) == (
        "cpus_per_task",
        "no node of partition main has 257 CPU(s)",
    )


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("time", {"slurm_partition": "any", "slurm_time": "31"}),
        ("gpus_per_node", {"slurm_partition": "main", "slurm_gpus_per_node": 5}),
        ("gpus_per_node", {"slurm_partition": "main", "slurm_gpus_per_node": "h100:1"}),
        ("gres", {"slurm_partition": "main", "slurm_gres": "gpu:h100:1"}),
        ("mem_gb", {"slurm_partition": "main", "slurm_mem": "2000001M"}),
        ("nodes", {"slurm_partition": "main", "slurm_nodes": 7}),
        ("partition", {"slurm_partition": "main", "slurm_gpus_per_node": 1, "slurm_mem": "600G"}),
        (
            "mem_per_gpu",
            {"slurm_partition": "main", "slurm_gpus_per_node": 4, "slurm_mem_per_gpu": "600G"},
        ),
        (
            "cpus_per_gpu",
            {"slurm_partition": "main", "slurm_gpus_per_node": 4, "slurm_cpus_per_gpu": 80},
        ),
    ],
)
def test_each_field_is_told_by_its_name(field: str, given: dict[str, Any]) -> None:
    assert asks(**given) == [field]


def test_one_of_several_partitions_is_enough() -> None:
    assert asks(slurm_partition="mixed", slurm_time="4-0") == ["time"]
    assert asks(slurm_partition="mixed,gpu.long@v100", slurm_time="4-0") == []


def test_a_partition_that_takes_no_jobs_is_told() -> None:
    assert told(slurm_partition="staff")[0][1].startswith("partition staff takes no jobs now: ")


def test_a_partition_that_is_not_shown_is_left_to_sbatch() -> None:
    assert asks(slurm_partition="nowhere", slurm_cpus_per_task=10_000) == []


def test_an_account_is_told_where_the_accounting_can_be_read() -> None:
    given = {"slurm_partition": "main", "slurm_account": "theirs"}
    assert asks(**given) == []
    assert told(("mine",), **given)[0] == (
        "account",
        "account 'theirs' is not one that you may charge",
    )
