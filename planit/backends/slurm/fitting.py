"""Whether what a step asks for fits what a cluster's partitions have and allow; pure.

sbatch accepts much that then waits for ever: a time above the partition's MaxTime, for instance
(tried on Slurm 22.05).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from planit.backends.slurm.partitions import NodeKind, Partition
from planit.errors import suggest
from planit.nodes import SlurmArgs, walltime
from planit.nodes.flags import count_of, flags_of

_FIELDS = frozenset(one.name for one in fields(SlurmArgs))
_MIB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)


class Misfit(NamedTuple):
    """What of a request cannot be.

    Attributes:
        field: the parameter, as `SlurmArgs` calls it.
        message: what is wrong.
        hint: what would be right.
    """

    field: str
    message: str
    hint: str


@dataclass(frozen=True)
class NodeRequest:
    """What a step asks of each of its nodes.

    Attributes:
        cpus: how many.
        mem_mb: MiB; 0 where it says nothing, or asks for all.
        gpus: how many.
        gpu_type: of which type, if it says so.
        nodes: how many nodes.
        fields: the parameters that say "cpus", "mem" and "gpus".
    """

    cpus: int
    mem_mb: int
    gpus: int
    gpu_type: str | None
    nodes: int
    fields: Mapping[str, str]

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> NodeRequest:
        """Read submission parameters; what is not plain counts as nothing."""
        flags = flags_of(options)
        gpu_field, gpus, gpu_type = _gpus(flags)
        per_gpu = count_of(flags.get("cpus_per_gpu")) * gpus
        tasks = count_of(flags.get("ntasks_per_node") or 1)
        per_task = count_of(flags.get("cpus_per_task") or 1)
        cpus = max(1, per_gpu, tasks * per_task)
        mem_field, each = _memory(flags)
        times = {"mem": 1, "mem_per_cpu": cpus, "mem_per_gpu": gpus}.get(mem_field, 0)
        cpu_field = "cpus_per_gpu" if per_gpu > tasks * per_task else "cpus_per_task"
        named = {"cpus": cpu_field, "mem": mem_field, "gpus": gpu_field}
        more = options.get("additional_parameters") or {}
        keys = {what: _field(name, more) for what, name in named.items()}
        nodes = count_of(flags.get("nodes") or 1)
        return cls(cpus, int(each * times), gpus, gpu_type, nodes, keys)


def _field(name: str, more: Mapping[str, Any]) -> str:
    """What `planit.SlurmArgs` calls an option of sbatch; `more` are those without a field."""
    if name == "mem" and name not in more:
        return "mem_gb"
    return name if name in _FIELDS and name not in more else f"additional_params.{name}"


def misfits(
    options: Mapping[str, Any], partitions: Sequence[Partition], accounts: Sequence[str]
) -> list[Misfit]:
    """What keeps a job with these submission parameters from ever running.

    Args:
        options: under submitit's names.
        partitions: of the cluster that it goes to.
        accounts: the accounts that the user may charge there; none if that is not known.

    Returns:
        Nothing if one of the partitions that it names would do. A partition that is not among
        `partitions` may be hidden: sbatch tells.
    """
    flags = flags_of(options)
    found = list(_of_account(flags.get("account"), accounts))
    names = str(flags.get("partition") or "").split(",")
    named = [one for one in partitions if one.name in names or (names == [""] and one.is_default)]
    if not named or len(named) < len(names):
        return found
    each = [list(_of_partition(options, one)) for one in named]
    return found if not all(each) else found + each[0]


def _of_account(account: Any, accounts: Sequence[str]) -> Iterator[Misfit]:
    if account is not None and accounts and account not in accounts:
        message = f"account {account!r} is not one that you may charge"
        yield Misfit("account", message, suggest(account, accounts))


def _of_partition(options: Mapping[str, Any], partition: Partition) -> Iterator[Misfit]:
    flags, name = flags_of(options), partition.name
    if (why := partition.closed) is not None or partition.state != "UP":
        why = why or f"its state is {partition.state}"
        yield Misfit("partition", f"partition {name} takes no jobs now: {why}", "choose another")
    account = flags.get("account")
    if account is not None and not partition.admits(str(account)):
        allowed = ", ".join(sorted(partition.allowed_accounts or ())) or "others than this one"
        message = f"partition {name} does not take account {account!r}"
        yield Misfit("account", message, f"it takes {allowed}")
    limit = partition.max_time
    if limit is not None and walltime.parse(options["time"]) > limit:
        message = f"time {options['time']} is more than partition {name} allows"
        yield Misfit("time", message, f"at most {walltime.clock(limit)}")
    if partition.kinds:
        yield from _of_nodes(NodeRequest.of(options), partition)


def _of_nodes(request: NodeRequest, partition: Partition) -> Iterator[Misfit]:
    if request.nodes > (total := sum(kind.nodes for kind in partition.kinds)):
        message = f"{request.nodes} nodes are more than partition {partition.name} has"
        yield Misfit("nodes", message, f"at most {total}")
    cpus = request.cpus
    if partition.max_mem_mb_per_cpu and request.mem_mb:  # Slurm gives it more CPUs instead
        cpus = max(cpus, -(-request.mem_mb // partition.max_mem_mb_per_cpu))
    wanted = {"gpus": request.gpus, "cpus": cpus, "mem": request.mem_mb}
    there = [_has(kind, partition, request.gpu_type) for kind in partition.kinds]
    if any(all(has[what] >= wanted[what] for what in wanted) for has in there):
        return
    too_much = [what for what in wanted if all(has[what] < wanted[what] for has in there)]
    kind = f"{request.gpu_type} " if request.gpu_type else ""
    unit = {"gpus": f"{kind}GPU(s)", "cpus": "CPU(s)", "mem": "MiB of memory"}
    for what in too_much:
        most = max(has[what] for has in there)
        message = f"no node of partition {partition.name} has {wanted[what]} {unit[what]}"
        yield Misfit(request.fields[what], message, f"at most {most}")
    if not too_much:
        all_of_it = ", ".join(f"{wanted[what]} {unit[what]}" for what in wanted if wanted[what])
        nodes = " or ".join(
            ", ".join(f"{has[what]} {unit[what]}" for what in wanted if wanted[what])
            for has in there
        )
        message = f"no node of partition {partition.name} has all of {all_of_it}"
        yield Misfit("partition", message, f"its nodes have {nodes}")


def _has(kind: NodeKind, partition: Partition, gpu_type: str | None) -> dict[str, int]:
    unknown = kind.mem_mb == 1  # what slurm.conf says of no node's memory
    mem_mb = 10**12 if unknown else kind.mem_mb
    return {
        "cpus": min(kind.cpus, partition.max_cpus_per_node or kind.cpus),
        "mem": min(mem_mb, partition.max_mem_mb_per_node or mem_mb),
        "gpus": kind.gpu_count if gpu_type is None else dict(kind.gpus).get(gpu_type, 0),
    }


def _gpus(flags: Mapping[str, Any]) -> tuple[str, int, str | None]:
    """The parameter that asks for GPUs of a node, how many and of which type."""
    if flags.get("gpus_per_node"):
        kind, colon, _ = str(flags["gpus_per_node"]).rpartition(":")
        return "gpus_per_node", count_of(flags["gpus_per_node"]), kind if colon else None
    for one in str(flags.get("gres") or "").split(","):
        name, *rest = one.split(":")
        if name == "gpu":
            number = int(rest.pop()) if rest and rest[-1].isdecimal() else 1
            return "gres", number, rest[0] if rest else None
    return "gpus_per_node", 0, None


def _memory(flags: Mapping[str, Any]) -> tuple[str, float]:
    """The parameter that asks for memory, and how much, in MiB."""
    for name in ("mem", "mem_per_cpu", "mem_per_gpu"):
        match = _MEMORY.fullmatch(str(flags.get(name) or ""))
        if match is not None:
            return name, float(match[1]) * _MIB[match[2].upper() or "M"]
    return "mem", 0
