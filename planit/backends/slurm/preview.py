"""What Slurm says of a plan that is not submitted: in a few calls, whatever the plan's size."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from planit.backends.base import Preview
from planit.backends.slurm import partitions
from planit.backends.slurm.client import SlurmClient
from planit.backends.slurm.fitting import misfits
from planit.backends.slurm.partitions import Partition
from planit.backends.slurm.script import ScriptSpec, script_text
from planit.errors import PlanError, SchedulerError, SubmissionError, UnknownClusterError, suggest
from planit.graph import Stage
from planit.nodes.flags import flags_of

_NO_SUCH_NODE = "node configuration is not available"
_START = re.compile(r"to start at (\d\S+)")

Alike = Mapping[str, Sequence[Stage]]
"""Stages by their submission parameters."""


def preview(client: SlurmClient, stages: Iterable[Stage], python: str) -> Preview:
    """Ask Slurm about stages: once about each cluster, and once about each set of parameters.

    Args:
        client: asks.
        stages: they are not submitted.
        python: shell words that start Python in the jobs.
    """
    found = Preview()
    by_cluster: dict[str | None, dict[str, list[Stage]]] = defaultdict(dict)
    for stage in stages:
        by_cluster[stage.resources.cluster].setdefault(stage.resources.key, []).append(stage)
    for cluster, alike in by_cluster.items():
        there = _of_cluster(client, cluster, alike, found)
        for same in alike.values() if there is not None else ():
            _try(client, cluster, same, python, found, [one.name for one in there or ()])
    return found


def _of_cluster(
    client: SlurmClient, cluster: str | None, alike: Alike, found: Preview
) -> Sequence[Partition] | None:
    """Compare with what a cluster has; its partitions, or None if it gives no answer."""
    name = "the cluster" if cluster is None else f"cluster {cluster}"
    try:
        there = partitions.of_cluster(client, cluster)
        accounts = client.accounts(cluster)
    except UnknownClusterError:
        names = client.clusters()
        hint = suggest(cluster, names) if names else "sacctmgr show clusters"
        for same in alike.values():
            found.add(same, "cluster", PlanError(f"Slurm has no cluster {cluster!r}", hint=hint))
        return None
    except SchedulerError as error:
        found.not_checked.append(f"what {name} has and allows: {error.message}")
        return None
    if not accounts:
        found.not_checked.append(f"accounts of {name}: the accounting has none of yours")
    for same in alike.values():
        for field, message, hint in misfits(same[0].resources.options, there, accounts):
            found.add(same, field, PlanError(message, hint=hint))
    return there


def _try(
    client: SlurmClient,
    cluster: str | None,
    same: Sequence[Stage],
    python: str,
    found: Preview,
    partition_names: Sequence[str],
) -> None:
    """``sbatch --test-only`` of the largest of stages with the same parameters."""
    largest = max(same, key=lambda stage: len(stage.tasks))
    is_told = any(refusal.stage is largest for refusal in found.refusals)
    with TemporaryDirectory(prefix="planit-") as folder:
        try:
            words = client.test_only(_script(largest, Path(folder), python), cluster)
        except SubmissionError as error:
            field, hint = None, error.hint
            if "partition" in error.message:
                partition = flags_of(largest.resources.options).get("partition")
                field, hint = "partition", suggest(partition, partition_names)
            if not (is_told and _NO_SUCH_NODE in error.message):
                message = f"Slurm would refuse it: {error.message}"
                found.add(same, field, PlanError(message, hint=hint))
            return
    if not is_told and (match := _START.search(words)):
        found.starts.append((largest, match[1]))


def _script(stage: Stage, folder: Path, python: str) -> str:
    """A script as the stage's own, in a folder."""
    spec = ScriptSpec("check", stage.name, stage.resources.options, folder, "check", python)
    if stage.packed:
        spec = spec.for_packed(stage.jobs, stage.max_concurrent)
    elif stage.is_array:
        spec = spec.for_array(folder / "list", len(stage.tasks), stage.max_concurrent)
    else:
        spec = spec.for_step(stage.name, folder / "step")
    script = folder / "script"
    script.write_text(script_text(spec), encoding="utf-8")
    return str(script)
