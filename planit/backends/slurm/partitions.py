"""What a cluster's partitions have and allow, as ``scontrol show partition`` and ``node`` print it.

The fields are those of Slurm 22.05 to 26.05 (slurm.conf manual, "PARTITION CONFIGURATION" and
"NODE CONFIGURATION").
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from planit.backends.slurm.client import SlurmClient
from planit.errors import PlanError, SchedulerError
from planit.nodes import walltime

_NOT_USABLE = frozenset({"DOWN", "DRAIN", "ERROR", "FAIL", "FAILING", "INVAL", "INVALID_REG"})


@dataclass(frozen=True)
class NodeKind:
    """Nodes of a partition that are alike.

    Attributes:
        cpus: CPUs of a node that jobs can have.
        mem_mb: MiB of a node that jobs can have; 1 where the site has not said how much.
        gpus: the types of its GPUs, each with their number; "" is a type without a name.
        nodes: how many nodes.
        usable: how many of them are neither down nor drained.
    """

    cpus: int
    mem_mb: int
    gpus: tuple[tuple[str, int], ...]
    nodes: int
    usable: int

    @property
    def gpu_count(self) -> int:
        """The GPUs of a node."""
        return sum(number for _, number in self.gpus)


@dataclass(frozen=True)
class Partition:
    """A partition; None is no limit.

    Attributes:
        name: its name.
        state: UP, or what keeps jobs from it: DOWN, DRAIN, INACTIVE.
        is_default: whether it takes the jobs that name none.
        default_time: of a job that asks for none; None if the site has not set it.
        max_time: the longest wall time.
        min_nodes: the fewest nodes of a job.
        max_cpus_per_node: CPUs of a node that the jobs of this partition can have.
        max_mem_mb_per_cpu: MiB; a job that asks for more gets more CPUs.
        max_mem_mb_per_node: MiB.
        takes_whole_nodes: whether a job gets its nodes for itself.
        closed: why users cannot submit to it, if they cannot though it is UP.
        allowed_accounts: the only accounts that may use it; None: all.
        denied_accounts: accounts that may not.
        kinds: its nodes, the most frequent kind first.
    """

    name: str
    state: str
    is_default: bool
    default_time: timedelta | None
    max_time: timedelta | None
    min_nodes: int
    max_cpus_per_node: int | None
    max_mem_mb_per_cpu: int | None
    max_mem_mb_per_node: int | None
    takes_whole_nodes: bool
    closed: str | None
    allowed_accounts: frozenset[str] | None
    denied_accounts: frozenset[str]
    kinds: tuple[NodeKind, ...]

    def admits(self, account: str) -> bool:
        """Whether an account may use it, as far as it is named."""
        allowed = self.allowed_accounts is None or account in self.allowed_accounts
        return allowed and account not in self.denied_accounts


def of_cluster(client: SlurmClient, cluster: str | None = None) -> list[Partition]:
    """The partitions that a cluster shows to the user, in Slurm's order.

    Args:
        client: asks.
        cluster: its name; None is the one that the machine's slurm.conf names.

    Raises:
        UnknownClusterError: Slurm has no such cluster.
        SchedulerError: there is no answer, or not certainly a whole one.
    """
    shown = client.shown("partition", cluster)
    return from_records(shown, client.shown("node", cluster))


def from_records(
    partitions: Iterable[Mapping[str, str]], nodes: Iterable[Mapping[str, str]]
) -> list[Partition]:
    """The partitions in what `planit.backends.slurm.parse.records` has read.

    Raises:
        SchedulerError: a field is missing, or not of its form.
    """
    members: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for node in nodes:
        for name in _names(node.get("Partitions", "")):
            members[name].append(node)
    try:
        return [_partition(fields, members[fields["PartitionName"]]) for fields in partitions]
    except KeyError as error:
        raise SchedulerError(f"scontrol printed a partition or node without {error}") from None


def gpus_in(gres: str) -> tuple[tuple[str, int], ...]:
    """The GPUs in a node's Gres, such as ``gpu:a100:4(S:0-1),shard:16`` or ``gpu:4``, by type."""
    found: Counter[str] = Counter()
    for part in re.sub(r"\([^)]*\)", "", gres).split(","):
        name, *rest = (word for word in part.split(":") if word != "no_consume")
        if name == "gpu":
            number = int(rest.pop()) if rest and rest[-1].isdecimal() else 1
            found[rest[0] if rest else ""] += number
    return tuple((kind, number) for kind, number in found.items() if number)


def _partition(fields: Mapping[str, str], nodes: list[Mapping[str, str]]) -> Partition:
    closed = {"RootOnly": "only root may use it", "ReqResv": "it needs a reservation"}
    return Partition(
        name=fields["PartitionName"],
        state=fields["State"],
        is_default=fields.get("Default") == "YES",
        default_time=_time(fields, "DefaultTime"),
        max_time=_time(fields, "MaxTime"),
        min_nodes=_number(fields, "MinNodes") or 1,
        max_cpus_per_node=_number(fields, "MaxCPUsPerNode"),
        max_mem_mb_per_cpu=_number(fields, "MaxMemPerCPU"),
        max_mem_mb_per_node=_number(fields, "MaxMemPerNode"),
        # OverSubscribe=EXCLUSIVE is what 22.05 prints, Exclusive=NODE what 26.05 does.
        takes_whole_nodes="EXCLUSIVE" in fields.get("OverSubscribe", "")
        or fields.get("Exclusive") == "NODE",
        closed=next((why for name, why in closed.items() if fields.get(name) == "YES"), None),
        allowed_accounts=_accounts(fields.get("AllowAccounts", "ALL")),
        denied_accounts=frozenset(_names(fields.get("DenyAccounts", ""))),
        kinds=_kinds(nodes),
    )


def _kinds(nodes: Iterable[Mapping[str, str]]) -> tuple[NodeKind, ...]:
    counts: dict[tuple[int, int, tuple[tuple[str, int], ...]], list[int]] = {}
    for node in nodes:
        cpus = _number(node, "CPUEfctv") or _count(node, "CPUTot")
        mem_mb = max(1, _count(node, "RealMemory") - (_number(node, "MemSpecLimit") or 0))
        count = counts.setdefault((cpus, mem_mb, gpus_in(node.get("Gres", ""))), [0, 0])
        count[0] += 1
        count[1] += _is_usable(node["State"])
    kinds = [NodeKind(*kind, *count) for kind, count in counts.items()]
    return tuple(sorted(kinds, key=lambda kind: -kind.nodes))


def _is_usable(state: str) -> bool:
    """Of a state such as ``IDLE``, ``DOWN*`` or ``MIXED+DRAIN``."""
    return _NOT_USABLE.isdisjoint(re.sub(r"[^A-Z_+]", "", state).split("+"))


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name and name != "(null)"]


def _accounts(text: str) -> frozenset[str] | None:
    return None if text == "ALL" else frozenset(_names(text))


def _number(fields: Mapping[str, str], name: str) -> int | None:
    """A limit; None for UNLIMITED and the like, and for a field that is not there."""
    text = fields.get(name, "")
    return int(text) if text.isdecimal() else None


def _count(fields: Mapping[str, str], name: str) -> int:
    if not fields[name].isdecimal():
        raise SchedulerError(f"scontrol printed {name}={fields[name]}, which is not a number")
    return int(fields[name])


def _time(fields: Mapping[str, str], name: str) -> timedelta | None:
    text = fields[name]
    if text in ("NONE", "UNLIMITED", "INFINITE") or not text.strip("0:-"):
        return None
    try:
        return walltime.parse(text)
    except PlanError:
        raise SchedulerError(f"scontrol printed {name}={text}, which is not a time") from None
