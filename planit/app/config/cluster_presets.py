"""SLURM presets for the partitions of a cluster: what to ask for, and the files that say so.

A GPU comes with its share of a node's CPUs and memory, the smallest among the nodes that may be
chosen; a job without GPUs gets up to eight CPUs and their share of the memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from planit.backends.slurm.partitions import NodeKind, Partition
from planit.nodes import walltime

_MAX_LIGHT_CPUS = 8
_TIME = timedelta(hours=1)  # where the site has no default
_MIB_PER_GB = 1024
# What YAML or Hydra's overrides read as something else than text (and the group's own keyword).
_NOT_NAMES = frozenset({"null", "none", "true", "false", "yes", "no", "on", "off", "inf", "nan"})
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class ClusterPreset:
    """A file of the group slurm.

    Attributes:
        name: of the file, without ".yaml", and of the choice ``slurm=NAME``.
        fields: of `planit.SlurmArgs`.
        notes: comment lines that say where that comes from.
        weight: of the presets that would do, the one with the largest is taken; 0: none of its
            nodes takes jobs now, or none of the user's accounts may use it.
        mem_mb: MiB that it asks for, with one GPU if it has some; 0: none.
    """

    name: str
    fields: Mapping[str, Any]
    notes: Sequence[str] = field(default=())
    weight: int = 1
    mem_mb: int = 0

    @property
    def has_gpus(self) -> bool:
        return "cpus_per_gpu" in self.fields

    def without_account(self, account: str | None) -> ClusterPreset:
        """The same, without the account if it is this one."""
        kept = {n: v for n, v in self.fields.items() if n != "account" or v != account}
        return replace(self, fields=kept)

    def text(self) -> str:
        """The file."""
        lines = [f"# {note}" for note in self.notes]
        lines += ["_target_: planit.SlurmArgs"]
        for name, value in self.fields.items():
            if isinstance(value, dict):
                lines += [f"{name}:", *(f"  {key}: {yaml_text(one)}" for key, one in value.items())]
            else:
                lines += [f"{name}: {yaml_text(value)}"]
        return "\n".join(lines) + "\n"


def unusable(partition: Partition) -> str | None:
    """Why there is no preset for a partition; None if there is one."""
    if partition.state != "UP":
        return f"its state is {partition.state}"
    if partition.closed is not None:
        return partition.closed
    if "$" in partition.name:
        return "its name has a $"
    return None if partition.kinds else "it has no nodes"


def presets_of(
    partitions: Iterable[Partition],
    accounts: Sequence[str] = (),
    cluster: str | None = None,
    prefix: str = "",
) -> list[ClusterPreset]:
    """A preset for each partition that takes jobs, and one more for each kind of its GPUs.

    There are more only where a partition has nodes with and without GPUs, or GPUs of several
    types; the one called like the partition is then for its nodes without, or for any GPU.

    Args:
        partitions: of one cluster.
        accounts: those of the user, the default one first; none if that is not known.
        cluster: its name, if the presets should name it.
        prefix: of the presets' names, before that of the partition.

    Returns:
        The presets in the partitions' order, with names that differ.
    """
    usable = [one for one in partitions if unusable(one) is None]
    makers = [_Maker(one, accounts, cluster, prefix) for one in usable]
    found = [preset for maker in makers for preset in _of_partition(maker)]
    return _with_names_that_differ(found)


def choose(
    presets: Sequence[ClusterPreset], prefix: str = ""
) -> tuple[ClusterPreset, ClusterPreset]:
    """The presets of a plan's main and of its light steps: with and without GPUs, if there are.

    Where every node has GPUs, the second is a new one, called `prefix` and "cpu".
    """
    main = _best([one for one in presets if one.has_gpus]) or _best(presets)
    assert main is not None, "no presets"
    light = _best([one for one in presets if not one.has_gpus])
    return main, light or _without_gpus(main, presets, prefix)


def choice_name(text: str) -> str:
    """A name as a file and a choice of a Hydra group can have it, as like `text` as possible."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_-")
    if not name or not name[0].isalpha() or name.lower() in _NOT_NAMES:
        name = f"partition_{name}".rstrip("_")
    return name


def _of_partition(make: _Maker) -> list[ClusterPreset]:
    every = make.partition.kinds
    kinds = [kind for kind in every if kind.usable] or list(every)
    without = [kind for kind in kinds if not kind.gpus]
    having = [kind for kind in kinds if kind.gpus]
    types = list(dict.fromkeys(name for kind in having for name, _ in kind.gpus))
    found = [make.for_cpus(without) if without else make.for_gpus(having, None)]
    if without or len(types) > 1:
        found += [
            make.for_gpus([kind for kind in having if name in dict(kind.gpus)], name)
            for name in types
        ]
    return found


@dataclass(frozen=True)
class _Maker:
    """Makes the presets of one partition."""

    partition: Partition
    accounts: Sequence[str]
    cluster: str | None
    prefix: str

    def for_cpus(self, kinds: Sequence[NodeKind]) -> ClusterPreset:
        smallest = min(self._cpus(kind) for kind in kinds)
        whole = self.partition.takes_whole_nodes
        cpus = smallest if whole else min(_MAX_LIGHT_CPUS, smallest)
        mem_mb = min(self._mem_mb(kind, cpus, cpus / self._cpus(kind)) for kind in kinds)
        what = {"cpus_per_task": cpus, **_if_any("mem_gb", mem_mb // _MIB_PER_GB)}
        return self._preset(self.partition.name, what, kinds, mem_mb)

    def for_gpus(self, kinds: Sequence[NodeKind], gpu_type: str | None) -> ClusterPreset:
        """With one GPU, or all of a node where jobs get whole nodes; of a type, if one is given."""
        whole = self.partition.takes_whole_nodes
        gpus = min(kind.gpu_count for kind in kinds) if whole else 1
        cpus = max(1, min(self._cpus(kind) // kind.gpu_count for kind in kinds))
        mem_mb = min(self._mem_mb(kind, cpus, 1 / kind.gpu_count) for kind in kinds)
        mem = {"mem_per_gpu": f"{mem_mb}M"} if mem_mb >= _MIB_PER_GB else {}
        name = self.partition.name
        count: dict[str, Any] = {"gpus_per_node": gpus}
        if gpu_type is not None:
            name = f"{name}_{gpu_type or 'gpu'}"
        if gpu_type:
            number = min(dict(kind.gpus)[gpu_type] for kind in kinds) if whole else 1
            count, mem = {}, {"gpus_per_node": f"{gpu_type}:{number}", **mem}
        what = {**count, "cpus_per_gpu": cpus, **_if_any("additional_params", mem)}
        return self._preset(name, what, kinds, mem_mb)

    def _preset(
        self, name: str, what: Mapping[str, Any], kinds: Sequence[NodeKind], mem_mb: int
    ) -> ClusterPreset:
        account = next((one for one in self.accounts if self.partition.admits(one)), None)
        refused = bool(self.accounts) and account is None
        fields = {
            "time": walltime.clock(self._time()),
            "partition": self.partition.name,
            **_if_any("cluster", self.cluster),
            **_if_any("nodes", self.partition.min_nodes if self.partition.min_nodes > 1 else None),
            **what,
            **_if_any("account", account),
        }
        usable = sum(kind.usable for kind in kinds)
        weight = 0 if refused or self.partition.min_nodes > 1 else usable
        return ClusterPreset(
            self.prefix + name,
            fields,
            self._notes(kinds, refused=refused),
            weight * (1000 if self.partition.is_default else 1),
            mem_mb,
        )

    def _time(self) -> timedelta:
        limits = [one for one in (self.partition.max_time,) if one is not None]
        return min([self.partition.default_time or _TIME, *limits])

    def _cpus(self, kind: NodeKind) -> int:
        return min(kind.cpus, self.partition.max_cpus_per_node or kind.cpus)

    def _mem_mb(self, kind: NodeKind, cpus: int, share: float) -> int:
        """A share of a node's memory, in MiB, for which Slurm does not add CPUs."""
        of_node = min(kind.mem_mb, self.partition.max_mem_mb_per_node or kind.mem_mb)
        of_cpus = cpus * (self.partition.max_mem_mb_per_cpu or of_node)
        return int(min(of_node * share, of_cpus))

    def _notes(self, kinds: Sequence[NodeKind], *, refused: bool) -> list[str]:
        limit = self.partition.max_time
        longest = f"jobs of up to {walltime.clock(limit)}" if limit else "no limit on a job's time"
        notes = [f"Partition {self.partition.name}: {longest}. Its nodes, read from Slurm:"]
        notes += [f"  {_described(kind)}" for kind in kinds]
        if self.partition.takes_whole_nodes:
            notes += ["A job gets whole nodes."]
        elif kinds[0].gpus:
            notes += [
                "One GPU, its share of a node's CPUs and memory; mem_gb replaces mem_per_gpu."
            ]
        if refused:
            notes += ["None of your accounts may use it, as far as Slurm lists them."]
        return notes


def _described(kind: NodeKind) -> str:
    memory = f", {kind.mem_mb / _MIB_PER_GB:.0f} GB" if kind.mem_mb >= _MIB_PER_GB else ""
    gpus = "".join(f", {count} GPUs {name}".rstrip() for name, count in kind.gpus)
    down = f" ({kind.nodes - kind.usable} down or drained)" if kind.usable < kind.nodes else ""
    return f"{kind.nodes} with {kind.cpus} CPUs{memory}{gpus}{down}"


def _without_gpus(
    main: ClusterPreset, presets: Sequence[ClusterPreset], prefix: str
) -> ClusterPreset:
    """For light steps where every node has GPUs: at most the share of one, without it."""
    kept = ("time", "partition", "cluster", "account")
    of_gpu = main.fields["cpus_per_gpu"]
    cpus = min(_MAX_LIGHT_CPUS, of_gpu)
    mem_gb = main.mem_mb * cpus // of_gpu // _MIB_PER_GB
    fields = {name: main.fields[name] for name in kept if name in main.fields}
    light = ClusterPreset(
        f"{prefix}cpu",
        {**fields, "cpus_per_task": cpus, **_if_any("mem_gb", mem_gb)},
        ["For steps that need no GPU; every node here has some."],
    )
    return _with_names_that_differ([*presets, light])[-1]


def _best(presets: Iterable[ClusterPreset]) -> ClusterPreset | None:
    return max(presets, key=lambda one: one.weight, default=None)


def _with_names_that_differ(presets: Iterable[ClusterPreset]) -> list[ClusterPreset]:
    found: dict[str, ClusterPreset] = {}
    for preset in presets:
        plain = name = choice_name(preset.name)
        number = 1
        while name in found:
            number += 1
            name = f"{plain}_{number}"
        found[name] = replace(preset, name=name)
    return list(found.values())


def _if_any(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def yaml_text(value: Any) -> str:
    """A number, or text in YAML, in quotes unless it is certainly read as the same text."""
    if isinstance(value, int) or _is_plain(value):
        return str(value)
    return json.dumps(value, ensure_ascii=False)


def _is_plain(text: str) -> bool:
    return _PLAIN.fullmatch(text) is not None and text.lower() not in _NOT_NAMES
