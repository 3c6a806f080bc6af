"""Lowering: the tree becomes stages, where one stage is one sbatch call.

A stage is a single job or a job array. Children of a Parallel with the same shape are stacked:
each step position of the shape becomes one array, and task i belongs to branch i. Inside a stack
an edge is ``aftercorr`` (task i waits for task i); an edge that enters or leaves the stack is
``afterok`` on the whole array. So N branches cost as many sbatch calls as one branch has steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from planit.errors import PlanError
from planit.graph.packing import spread
from planit.graph.stages import Edge, EdgeKind, Graph, PackedSteps, Stage
from planit.nodes import Chain, Node, Packed, Parallel, Resources, Task
from planit.nodes.packed import unpacked

_NO_LIMIT = 10**9
DEFAULT_MAX_ARRAY_SIZE = 1001  # slurm.conf manual, "MaxArraySize": the highest index plus one


@dataclass(frozen=True)
class _Exit:
    """A stage that what follows must wait for.

    Attributes:
        stage: its number.
        stack, chunk: the stack that it is a part of, if any, and the chunk of that.
        ended: whether it is enough that the stage has ended, well or not.
    """

    stage: int
    stack: int | None = None
    chunk: int = 0
    ended: bool = False


@dataclass
class _Lowering:
    resources_of: Callable[[Any], Resources]
    key_of: Callable[[Task], str]
    max_array_size: Callable[[str | None], int]
    cluster_name: Callable[[str | None], str | None]
    stack: bool = True
    stages: list[Stage] = field(default_factory=list)
    stacks: int = 0
    throttle: int | None = None
    shapes: dict[int, str] = field(default_factory=dict)
    costs: dict[int, int] = field(default_factory=dict)

    def single(self, node: Node, entry: tuple[_Exit, ...]) -> tuple[_Exit, ...]:
        if isinstance(node, Task):
            return self.add([node], entry, None, 0)
        if isinstance(node, Packed):
            return self.packed(node, entry)
        if isinstance(node, Chain):
            for child in node.children:
                entry = self.single(child, entry)
            return entry
        exits: list[_Exit] = []
        groups = self.groups(node.children)
        limit = node.max_concurrent if isinstance(node, Parallel) else None
        if limit is not None and limit < len(node.children):
            exits += self.limited(node.children, groups, entry, limit)
        else:
            for group in groups:
                exits += self.group(group, entry)
        return _distinct(exits) if node.children else entry

    def packed(self, node: Packed, entry: tuple[_Exit, ...]) -> tuple[_Exit, ...]:
        """Lower what a job runs by itself: a stage of all its steps, with their own edges in it."""
        steps: list[Task] = []
        parts: list[PackedSteps] = []
        for job, branches in enumerate(spread(node, self.resources_of)):
            inner = _Lowering(self.resources_of, self.key_of, lambda _: _NO_LIMIT, lambda _: None)
            inner.single(branches, ())
            first = len(parts)
            for stage in inner.stages:
                places = tuple(range(len(steps), len(steps) + len(stage.tasks)))
                edges = tuple(Edge(first + edge.parent, edge.kind) for edge in stage.edges)
                limit = stage.max_concurrent
                parts.append(PackedSteps(job, places, stage.resources, edges, limit))
                steps += stage.tasks
        if not steps:
            return entry
        size = self.max_array_size(self.resources_of(node).cluster)
        if node.jobs > size:
            raise PlanError(f"Packed with jobs={node.jobs}: an array has at most {size} tasks")
        return self.add(steps, entry, None, 0, self.resources_of(node), tuple(parts))

    def group(self, nodes: Sequence[Node], entry: tuple[_Exit, ...]) -> tuple[_Exit, ...]:
        """Lower nodes of one shape: as a stack if there are several."""
        if len(nodes) == 1:
            return self.single(nodes[0], entry)
        self.stacks += 1
        return self.stacked(nodes, entry, self.stacks)

    def limited(
        self,
        children: Sequence[Node],
        groups: Sequence[Sequence[Node]],
        entry: tuple[_Exit, ...],
        limit: int,
    ) -> list[_Exit]:
        """Lower branches of which only `limit` may run at once.

        Single steps of one shape become an array with that limit. Branches of several steps go in
        blocks of `limit`, for Slurm limits each array alone: then each step position of a block is
        an array, and a block waits for the end of the one before. So do arrays that are too small
        for all single steps. Other branches go in
        `limit` lanes, each of which runs one branch after another.
        """
        if len(groups) == 1:
            size = self.max_array_size(self.cluster_of(children[0]))
            if not isinstance(children[0], Task):  # a limit for each array is none for the branches
                size = min(size, limit)
            parts = [children[i : i + size] for i in range(0, len(children), size)]
            lanes = 1
        else:
            parts, lanes = [[child] for child in children], limit
        before: list[tuple[_Exit, ...]] = [()] * lanes
        exits: list[_Exit] = []
        for number, part in enumerate(parts):
            first = len(self.stages)
            lane = number % lanes
            self.throttle = limit if len(part) > 1 else None
            found = self.group(part, entry + before[lane])
            exits += [exit_ for exit_ in found if not exit_.ended]
            if len(self.stages) > first:
                ended = range(first, len(self.stages))
                before[lane] = tuple(_Exit(stage, ended=True) for stage in ended)
        self.throttle = None
        return exits

    def cluster_of(self, node: Node) -> str | None:
        """The cluster of the first step in a node."""
        while node.children and not isinstance(node, Packed):
            node = node.children[0]
        return self.resources_of(node).cluster if isinstance(node, Task | Packed) else None

    def stacked(
        self, nodes: Sequence[Node], entry: tuple[_Exit, ...], stack: int
    ) -> tuple[_Exit, ...]:
        """Lower nodes of one shape together; node i is a part of branch i."""
        first = nodes[0]
        if isinstance(first, Task):
            tasks = [node for node in nodes if isinstance(node, Task)]
            size = self.max_array_size(self.resources_of(first).cluster)
            exits = [
                self.add(tasks[start : start + size], entry, stack, chunk)
                for chunk, start in enumerate(range(0, len(tasks), size))
            ]
            return tuple(exit_ for part in exits for exit_ in part)
        columns = list(zip(*(node.children for node in nodes), strict=True))
        if isinstance(first, Chain):
            for column in columns:
                entry = self.stacked(column, entry, stack)
            return entry
        parts = [self.stacked(column, entry, stack) for column in columns]
        return _distinct(exit_ for part in parts for exit_ in part) if columns else entry

    def add(
        self,
        tasks: Sequence[Task],
        entry: tuple[_Exit, ...],
        stack: int | None,
        chunk: int,
        job: Resources | None = None,
        packed: tuple[PackedSteps, ...] = (),
    ) -> tuple[_Exit, ...]:
        resources = job or self.resources_of(tasks[0])
        edges = []
        for exit_ in entry:
            aligned = stack is not None and exit_.stack == stack
            if aligned and exit_.chunk != chunk:
                continue
            self.refuse_between_clusters(self.stages[exit_.stage], tasks[0], resources)
            kind = EdgeKind.AFTERANY if exit_.ended else EdgeKind.AFTEROK
            if aligned and len(tasks) > 1:  # Slurm has aftercorr for arrays only
                kind = EdgeKind.AFTERCORR
            edges.append(Edge(exit_.stage, kind))
        number = len(self.stages)
        limits = (self.throttle, resources.options.get("array_parallelism"))
        limit = min((one for one in limits if one is not None), default=None)
        jobs = 1 + max(part.job for part in packed) if packed else len(tasks)
        limit = limit if jobs > 1 else None
        self.stages.append(Stage(number, tuple(tasks), resources, tuple(edges), limit, packed))
        return (_Exit(number, stack, chunk),)

    def refuse_between_clusters(self, parent: Stage, child: Task, resources: Resources) -> None:
        ours, theirs = parent.resources.cluster, resources.cluster
        if ours != theirs and self.cluster_name(ours) != self.cluster_name(theirs):
            clusters = [r.cluster or "the default" for r in (parent.resources, resources)]
            raise PlanError(
                f"step {child.name!r} (cluster {clusters[1]}) waits for step"
                f" {parent.tasks[0].name!r} (cluster {clusters[0]})",
                hint="Slurm has no dependencies between clusters: put both on one",
            )

    def groups(self, children: Sequence[Node]) -> list[list[Node]]:
        """Children by shape, in order of appearance, where a stack is cheaper than its parts."""
        if len(children) < 2 or not self.stack:
            return [[child] for child in children]
        by_shape: dict[str, list[Node]] = {}
        for child in children:
            by_shape.setdefault(self.shape(child), []).append(child)
        groups: list[list[Node]] = []
        for alike in by_shape.values():
            if len(alike) > 1 and self.stack_cost(alike[0]) <= len(alike) * self.cost(alike[0]):
                groups.append(alike)
            else:
                groups += [[node] for node in alike]
        return groups

    def shape(self, node: Node) -> str:
        """Equal for nodes of the same form with equal parameters, position by position."""
        key = id(node)
        if key not in self.shapes:
            if isinstance(node, Task):
                text = f"{type(node).__name__}:{self.key_of(node)}"
            elif isinstance(node, Packed):
                text = f"Packed#{key}"  # it is an array itself, or may be
            else:
                inner = ";".join(self.shape(child) for child in node.children)
                text = f"{'Chain' if isinstance(node, Chain) else 'Parallel'}({inner})"
                if isinstance(node, Parallel) and node.max_concurrent is not None:
                    text += f"#{key}"  # a limit holds within a branch: such branches do not stack
            self.shapes[key] = text
        return self.shapes[key]

    def stack_cost(self, node: Node) -> int:
        """Sbatch calls of a stack of any number of nodes like `node`."""
        if isinstance(node, Task | Packed):
            return 1
        return sum(self.stack_cost(child) for child in node.children)

    def cost(self, node: Node) -> int:
        """Sbatch calls of `node` alone."""
        key = id(node)
        if key not in self.costs:
            if isinstance(node, Task | Packed):
                cost = 1
            elif isinstance(node, Parallel):
                alike: dict[str, list[Node]] = {}
                for child in node.children:
                    alike.setdefault(self.shape(child), []).append(child)
                cost = sum(
                    min(self.stack_cost(group[0]), len(group) * self.cost(group[0]))
                    for group in alike.values()
                )
            else:
                cost = sum(self.cost(child) for child in node.children)
            self.costs[key] = cost
        return self.costs[key]


def _distinct(exits: Iterable[_Exit]) -> tuple[_Exit, ...]:
    return tuple(dict.fromkeys(exits))


def lower(
    root: Node,
    *,
    resources_of: Callable[[Any], Resources] = lambda node: node.resources,
    key_of: Callable[[Task], str] | None = None,
    stack: bool = True,
    packs: bool = True,
    cluster_name: Callable[[str | None], str | None] = lambda cluster: cluster,
    max_array_size: Callable[[str | None], int] = lambda cluster: DEFAULT_MAX_ARRAY_SIZE,
) -> Graph:
    """The stages of a tree, in an order in which they can be submitted.

    Args:
        root: the tree.
        resources_of: the parameters that a step (or a packed job) is really submitted with; by
            default its own.
        key_of: equal for steps that may share an array; by default their parameters decide.
        stack: whether branches of one shape become arrays; otherwise every step is a single job.
        packs: whether a Packed is a job of its own; otherwise it is just what it holds.
        cluster_name: what a cluster is really called; None is the default one.
        max_array_size: how many tasks one array may have, by cluster (None: the default one).

    Raises:
        PlanError: a step waits for one on another cluster, or the tree is nested too deeply.
    """
    lowering = _Lowering(
        resources_of,
        key_of or (lambda task: resources_of(task).key),
        max_array_size,
        cluster_name,
        stack,
    )
    try:
        lowering.single(root if packs else unpacked(root), ())
    except RecursionError:
        raise PlanError(
            "the plan is nested too deeply", hint="flatten Chains that stand in Chains"
        ) from None
    return Graph(tuple(lowering.stages))
