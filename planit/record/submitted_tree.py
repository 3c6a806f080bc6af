"""The tree of a run, read back from its manifest, so that parts of it can be lowered again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from planit.nodes import Chain, Node, Parallel, Resources, Task
from planit.nodes.packed import packed_in
from planit.record.manifest_tree import key_of_job, leaves_of


class SubmittedStep(Task):
    """A step of an earlier submission: its call is pickled in the run directory already.

    Attributes:
        kind: "Step", "Command" or "HydraApp", as it was.
        func: dotted path of its function, if that can be imported.
        targets: what else its job imports, to build its arguments.
        app, script: of a HydraApp.
    """

    __slots__ = ("app", "func", "kind", "launches", "script", "targets")

    def __init__(self, leaf: Mapping[str, Any], resources: Resources) -> None:
        self.name = leaf["name"]
        self.kind = str(leaf["kind"])
        self.func = leaf.get("func")
        self.app = leaf.get("app")
        self.script = leaf.get("script")
        self.targets = list(leaf.get("targets", ()))
        self.launches = self.kind != "Command"
        self.resources = resources
        self.slurm_args = resources.options


def submitted_tree(
    tree: Mapping[str, Any],
    resources: Mapping[str, Resources],
    keep: Collection[str],
) -> Node:
    """The tree with only the steps in `keep`; groups that become empty are left out.

    What stood before a left-out step and what stood behind it become neighbours, which is right
    for a step that is done.

    Args:
        tree: the tree of the manifest.
        resources: the parameters of each step, and of each packed job (see `key_of_job`).
        keep: the steps that are kept.
    """
    found = _kept(tree, resources, set(keep))
    return found if found is not None else Chain()


def _kept(
    tree: Mapping[str, Any],
    resources: Mapping[str, Resources],
    keep: set[str],
) -> Node | None:
    if "children" not in tree:
        name = tree["name"]
        return SubmittedStep(tree, resources[name]) if name in keep else None
    children = [_kept(child, resources, keep) for child in tree["children"]]
    nodes = [child for child in children if child is not None]
    if tree["kind"] == "Packed" and nodes:
        spreads = isinstance(nodes[0], Parallel)  # of which several branches are left
        job = resources[key_of_job(next(leaves_of(tree))["name"])]
        return packed_in(job, nodes[0], tree["jobs"] if spreads else 1)
    if len(nodes) < 2:
        return nodes[0] if nodes else None
    if tree["kind"] == "Chain":
        return Chain(*nodes)
    return Parallel(*nodes, max_concurrent=tree.get("max_concurrent"))
