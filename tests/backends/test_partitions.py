"""Partitions as a real slurmctld prints them, of a site with every oddity that fits in one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from planit.backends.slurm import parse, partitions
from planit.backends.slurm.client import SlurmClient
from planit.backends.slurm.partitions import NodeKind, Partition
from planit.errors import SchedulerError, UnknownClusterError
from tests.backends.tools import DOWN, Tools

RECORDED = Path(__file__).parent / "recorded"
A100 = "nvidia_a100-sxm4-80gb"


def recorded(what: str, version: str) -> str:
    return (RECORDED / f"{what}-{version}.txt").read_text(encoding="utf-8")


def recorded_site(version: str) -> dict[str, Partition]:
    """The partitions of the recorded site, by name."""
    found = partitions.from_records(
        parse.records(recorded("partitions", version), "PartitionName"),
        parse.records(recorded("nodes", version), "NodeName"),
    )
    return {one.name: one for one in found}


@pytest.fixture(scope="module", params=["22.05", "26.05"])
def site(request: pytest.FixtureRequest) -> dict[str, Partition]:
    return recorded_site(request.param)


def test_the_partitions_are_in_slurms_order(site: dict[str, Partition]) -> None:
    names = "main mixed any gpu.long@v100 64 null old closed worn limited denied whole staff"
    assert [*site] == [*names.split(), "reserved", "hidden", "tiny", "pergpu"]
    assert [name for name, one in site.items() if one.is_default] == ["main"]


def test_times_are_durations_and_unlimited_is_none(site: dict[str, Partition]) -> None:
    times = {name: (one.default_time, one.max_time) for name, one in site.items()}
    assert times["main"] == (None, None)
    assert times["mixed"] == (timedelta(hours=2), timedelta(days=3))
    assert times["any"] == (None, timedelta(minutes=30))
    assert times["gpu.long@v100"] == (None, timedelta(days=14))


def test_a_partition_with_several_kinds_of_nodes_has_them_all(site: dict[str, Partition]) -> None:
    assert site["main"].kinds == (
        NodeKind(cpus=128, mem_mb=515_000, gpus=(), nodes=3, usable=3),
        NodeKind(cpus=70, mem_mb=503_808, gpus=((A100, 4),), nodes=2, usable=2),
        NodeKind(cpus=256, mem_mb=2_000_000, gpus=(), nodes=1, usable=1),
    )


def test_cpus_and_memory_that_the_system_keeps_are_not_counted(site: dict[str, Partition]) -> None:
    kinds = {kind.gpus: kind for kind in site["mixed"].kinds}
    assert (kinds[((A100, 4),)].cpus, kinds[((A100, 4),)].mem_mb) == (72 - 2, 512_000 - 8192)


def test_gpus_have_types_or_none(site: dict[str, Partition]) -> None:
    gpus = {kind.gpus for one in ("mixed", "any") for kind in site[one].kinds}
    assert gpus == {((A100, 4),), (("v100", 8),), (("1g.10gb", 7), ("a100", 3)), (("", 3),)}


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("(null)", ()),
        ("gpu:a100:4(S:0-1),shard:16(S:0-1)", (("a100", 4),)),
        ("gpu:a100:2(S:0,2),gpu:a100:2(S:1,3)", (("a100", 4),)),
        ("craynetwork:4,gpu:4", (("", 4),)),
        ("gpu:no_consume:2", (("", 2),)),
        ("gpu", (("", 1),)),
        ("gpu:k20", (("k20", 1),)),
        ("gpu:v100:0", ()),
        ("mps:gpu:100", ()),
    ],
)
def test_a_nodes_gres_is_read(gres: str, gpus: tuple[tuple[str, int], ...]) -> None:
    assert partitions.gpus_in(gres) == gpus


def test_drained_nodes_and_partitions_are_seen(site: dict[str, Partition]) -> None:
    assert [(name, one.state) for name, one in site.items() if one.state != "UP"] == [
        ("old", "DRAIN"),
        ("closed", "DOWN"),
    ]
    assert [(kind.cpus, kind.nodes, kind.usable) for kind in site["worn"].kinds] == [(20, 1, 0)]


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        ("IDLE", 1),
        ("MIXED+PLANNED", 1),
        ("IDLE+CLOUD+POWERED_DOWN", 1),
        ("ALLOCATED*", 1),
        ("DOWN*", 0),
        ("IDLE+DRAIN", 0),
        ("DOWN+DRAIN+NOT_RESPONDING", 0),
    ],
)
def test_a_nodes_state_says_whether_it_takes_jobs(state: str, usable: int) -> None:
    node = {"CPUTot": "4", "RealMemory": "1", "State": state, "Partitions": "p"}
    fields = {"PartitionName": "p", "State": "UP", "MaxTime": "5", "DefaultTime": "NONE"}
    (one,) = partitions.from_records([fields], [node])
    assert [kind.usable for kind in one.kinds] == [usable]


def test_who_may_use_a_partition_is_read(site: dict[str, Partition]) -> None:
    assert [site[name].admits("lp_one") for name in ("main", "limited", "denied")] == [
        True,
        True,
        False,
    ]
    assert [site[name].admits("else") for name in ("main", "limited", "denied")] == [
        True,
        False,
        True,
    ]
    closed = {name: one.closed for name, one in site.items() if one.closed}
    assert closed == {"staff": "only root may use it", "reserved": "it needs a reservation"}


def test_limits_of_a_partition_are_read(site: dict[str, Partition]) -> None:
    assert [name for name, one in site.items() if one.takes_whole_nodes] == ["whole"]
    assert (site["whole"].max_mem_mb_per_node, site["limited"].max_mem_mb_per_cpu) == (
        100_000,
        2000,
    )
    assert (site["pergpu"].max_cpus_per_node, site["pergpu"].min_nodes) == (32, 2)
    assert (site["main"].max_cpus_per_node, site["main"].min_nodes) == (None, 1)


# Answers that are none

PARTITION = "PartitionName=a State=UP MaxTime=5 DefaultTime=NONE\n"


def test_a_cluster_is_asked_for_its_partitions_and_nodes(tools: Tools) -> None:
    tools.answer("scontrol", recorded("partitions", "22.05"), call=1)
    tools.answer("scontrol", recorded("nodes", "22.05"), call=2)
    assert len(partitions.of_cluster(SlurmClient(), "beta")) == 17
    assert tools.calls("scontrol") == ["-M beta -o show partition", "-M beta -o show node"]


@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("", "scontrol printed no answer at all"),
        ("Welcome to the cluster\n", "scontrol printed no answer but 'Welcome to the cluster'"),
        ("PartitionName=a State=UP Max", "its answer ends in the middle of a line"),
        ("PartitionName=a MaxTime=5 DefaultTime=NONE\n", "a partition or node without 'State'"),
        ("PartitionName=a State=UP MaxTime=soon\n", "a partition or node without 'DefaultTime'"),
        (
            "PartitionName=a State=UP MaxTime=soon DefaultTime=NONE\n",
            "scontrol printed MaxTime=soon, which is not a time",
        ),
    ],
)
def test_an_answer_that_is_not_whole_is_none(tools: Tools, out: str, says: str) -> None:
    tools.answer("scontrol", out, call=1)
    tools.answer("scontrol", "No nodes in the system\n", call=2)
    with pytest.raises(SchedulerError, match=says):
        partitions.of_cluster(SlurmClient())


def test_a_node_that_is_not_whole_is_no_answer(tools: Tools) -> None:
    tools.answer("scontrol", PARTITION, call=1)
    node = "NodeName=n Partitions=a CPUTot=4 RealMemory=?? State=IDLE\n"
    tools.answer("scontrol", node, call=2)
    with pytest.raises(SchedulerError, match=r"RealMemory=\?\?, which is not a number"):
        partitions.of_cluster(SlurmClient())


def test_a_cluster_without_partitions_has_none(tools: Tools) -> None:
    tools.answer("scontrol", "No partitions in the system\n", call=1)
    tools.answer("scontrol", "No nodes in the system\n", call=2)
    assert partitions.of_cluster(SlurmClient()) == []


def test_a_scheduler_that_is_down_or_unknown_is_an_error(tools: Tools) -> None:
    tools.answer("scontrol", "", DOWN, 1)
    with pytest.raises(SchedulerError, match="Unable to contact slurm controller"):
        partitions.of_cluster(SlurmClient())
    tools.answer("scontrol", "", "scontrol: error: No cluster 'beta' known by database.\n", 1)
    with pytest.raises(UnknownClusterError):
        partitions.of_cluster(SlurmClient(), "beta")


# Accounts

ACCOUNTS = "alpha|lp_one|lp_a\nalpha|lp_one|lp_one\nbeta|lp_b|lp_one\nbeta|lp_b|lp_b\n"


@pytest.mark.parametrize(
    ("cluster", "accounts"),
    [("alpha", ["lp_one", "lp_a"]), ("beta", ["lp_b", "lp_one"]), ("gamma", [])],
)
def test_accounts_are_those_of_the_cluster_with_the_default_first(
    tools: Tools, cluster: str, accounts: list[str]
) -> None:
    tools.answer("sacctmgr", ACCOUNTS)
    assert SlurmClient().accounts(cluster) == accounts


def test_without_accounting_there_are_no_accounts(tools: Tools) -> None:
    tools.answer("sacctmgr", "", "You are not running a supported accounting_storage plugin\n", 1)
    assert SlurmClient().accounts("alpha") == []
