"""What presets ask for, of the partitions of a real slurmctld of a site with every oddity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import yaml

from planit import SlurmArgs
from planit.app.config import cluster_presets
from planit.app.config.cluster_presets import ClusterPreset
from planit.backends.slurm.partitions import Partition
from tests.backends.test_partitions import recorded_site

A100 = "nvidia_a100-sxm4-80gb"
PARTITIONS = list(recorded_site("22.05").values())


def presets(accounts: Sequence[str] = (), **named: Any) -> dict[str, ClusterPreset]:
    return {one.name: one for one in cluster_presets.presets_of(PARTITIONS, accounts, **named)}


def asked(preset: ClusterPreset) -> dict[str, Any]:
    """What a preset asks for, without where and how long."""
    return {
        name: value
        for name, value in preset.fields.items()
        if name not in ("time", "partition", "account")
    }


def test_each_partition_that_takes_jobs_has_a_preset_and_the_others_have_a_reason() -> None:
    asked_for = {one.fields["partition"] for one in presets().values()}
    reasons = {one.name: cluster_presets.unusable(one) for one in PARTITIONS}
    assert {name: why for name, why in reasons.items() if why is not None} == {
        "old": "its state is DRAIN",
        "closed": "its state is DOWN",
        "staff": "only root may use it",
        "reserved": "it needs a reservation",
    }
    assert asked_for == {name for name, why in reasons.items() if why is None}


@pytest.mark.parametrize("version", ["22.05", "26.05"])
def test_two_versions_of_slurm_lead_to_the_same_presets(version: str) -> None:
    read = recorded_site(version).values()
    assert cluster_presets.presets_of(read, ["x"]) == list(presets(["x"]).values())


@pytest.mark.parametrize("name", presets())
def test_each_file_is_valid_and_reads_back_as_it_was_meant(name: str) -> None:
    preset = presets(["lp_one"])[name]
    content = yaml.safe_load(preset.text())
    assert content.pop("_target_") == "planit.SlurmArgs"
    assert content == preset.fields
    assert SlurmArgs.from_mapping(content).partition == preset.fields["partition"]


def test_names_are_those_of_a_file_and_of_a_choice_of_hydras() -> None:
    odd = {one.fields["partition"]: name for name, one in presets().items() if "mixed" not in name}
    assert (odd["gpu.long@v100"], odd["64"], odd["null"]) == (
        "gpu_long_v100",
        "partition_64",
        "partition_null",
    )
    for name in ("_self_", "-", "a/b", "off", "größe", "2080ti", ""):
        choice = cluster_presets.choice_name(name)
        assert cluster_presets.choice_name(choice) == choice
        assert yaml.safe_load(choice) == choice


def test_partitions_whose_names_come_to_the_same_have_different_ones() -> None:
    main = PARTITIONS[3]
    twice = [main, _renamed(main, "gpu_long_v100"), _renamed(main, "gpu-long-v100")]
    names = [one.name for one in cluster_presets.presets_of(twice)]
    assert names == ["gpu_long_v100", "gpu_long_v100_2", "gpu-long-v100"]


def _renamed(partition: Partition, name: str) -> Partition:
    return Partition(**{**vars(partition), "name": name})


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("mixed", "2:00:00"),  # DefaultTime
        ("main", "1:00:00"),  # no default, UNLIMITED
        ("any", "0:30:00"),  # no default, MaxTime=30
        ("partition_64", "0:10:00"),
        ("gpu_long_v100", "1:00:00"),  # DefaultTime=UNLIMITED
    ],
)
def test_the_time_is_the_sites_default_or_an_hour_within_the_limit(name: str, time: str) -> None:
    assert presets()[name].fields["time"] == time


def test_a_gpu_comes_with_its_share_of_the_smallest_node_that_has_it() -> None:
    found = presets()
    assert asked(found[f"main_{A100}"]) == {
        "cpus_per_gpu": 70 // 4,
        "additional_params": {
            "gpus_per_node": f"{A100}:1",
            "mem_per_gpu": f"{(512_000 - 8192) // 4}M",
        },
    }
    assert asked(found["any"]) == {
        "gpus_per_node": 1,
        "cpus_per_gpu": 5,
        "additional_params": {"mem_per_gpu": f"{64_000 // 3}M"},
    }
    assert found["pergpu"].fields["cpus_per_gpu"] == 32 // 8  # MaxCPUsPerNode=32


def test_a_partition_with_gpus_of_several_types_has_a_preset_for_any_and_one_for_each() -> None:
    found = {name: one for name, one in presets().items() if one.fields["partition"] == "mixed"}
    assert [*found] == ["mixed", f"mixed_{A100}", "mixed_1g_10gb", "mixed_a100", "mixed_v100"]
    assert asked(found["mixed"]) == {
        "gpus_per_node": 1,
        "cpus_per_gpu": 4,
        "additional_params": {"mem_per_gpu": "25600M"},
    }
    types = [one.fields["additional_params"]["gpus_per_node"] for one in [*found.values()][1:]]
    assert types == [f"{A100}:1", "1g.10gb:1", "a100:1", "v100:1"]


def test_a_job_without_gpus_gets_a_part_of_the_smallest_node_without_them() -> None:
    assert asked(presets()["main"]) == {"cpus_per_task": 8, "mem_gb": 515_000 * 8 // 128 // 1024}
    assert asked(presets()["tiny"]) == {"cpus_per_task": 4}  # a site that does not say RealMemory


def test_a_job_asks_for_no_memory_for_which_slurm_would_add_cpus() -> None:
    assert asked(presets()["limited"]) == {"cpus_per_task": 8, "mem_gb": 8 * 2000 // 1024}


def test_where_jobs_get_whole_nodes_the_preset_asks_for_one() -> None:
    assert asked(presets()["whole"]) == {"cpus_per_task": 256, "mem_gb": 100_000 // 1024}
    gpus = _renamed(PARTITIONS[3], "gpus")
    whole = Partition(**{**vars(gpus), "takes_whole_nodes": True})
    (preset,) = cluster_presets.presets_of([whole])
    assert (preset.fields["gpus_per_node"], preset.fields["cpus_per_gpu"]) == (8, 4)


def test_the_account_is_the_default_one_or_the_first_that_the_partition_takes() -> None:
    found = presets(["else", "lp_one"])
    assert [found[name].fields.get("account") for name in ("main", "limited", "denied")] == [
        "else",
        "lp_one",
        "else",
    ]
    refused = presets(["else"])["limited"]
    assert "account" not in refused.fields
    assert "None of your accounts" in refused.text()
    assert "account" not in presets()["main"].fields


def test_presets_name_their_cluster_if_they_are_asked_to() -> None:
    found = presets(cluster="beta", prefix="beta_")
    assert {name.partition("_")[0] for name in found} == {"beta"}
    assert {one.fields["cluster"] for one in found.values()} == {"beta"}


def test_main_steps_get_gpus_and_light_steps_none_of_the_default_partition_if_it_has_both() -> None:
    main, light = cluster_presets.choose([*presets().values()])
    assert (main.name, light.name) == (f"main_{A100}", "main")


def test_what_is_drained_or_takes_none_of_the_users_accounts_is_the_last_choice() -> None:
    names = ("worn", "limited", "tiny")
    found = presets(["else"])
    main, light = cluster_presets.choose([found[name] for name in names])
    assert (main.name, light.name) == ("tiny", "tiny")
    assert "1 down or drained" in found["worn"].text()


def test_where_every_node_has_gpus_light_steps_get_a_preset_of_their_own() -> None:
    main, light = cluster_presets.choose([presets(["x"])["any"]])
    assert (main.name, light.name) == ("any", "cpu")
    assert light.fields == {
        "time": "0:30:00",
        "partition": "any",
        "account": "x",
        "cpus_per_task": 5,
        "mem_gb": 64_000 // 3 // 1024,
    }
