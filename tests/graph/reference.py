"""What a tree means, as plainly as possible; the lowering and the tracker are held against it.

Lowered plans run here with failing steps, by the tracker's rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from hypothesis import strategies as st

from planit import Chain, Node, Parallel, SlurmArgs, Step
from planit.graph import EdgeKind, Graph, Stage, Tracker
from planit.nodes import Task
from tests.helpers import CPU, GPU, nothing

OTHER = SlurmArgs(time="00:10:00", partition="batch", setup=["true"])
_LEAF = st.sampled_from([CPU, CPU, GPU, OTHER])


def ancestors(root: Node) -> dict[str, frozenset[str]]:
    """For each step all steps that must succeed before it starts."""
    result: dict[str, frozenset[str]] = {}

    def visit(node: Node, before: frozenset[str]) -> frozenset[str]:
        """Note the steps of `node`, and return what must succeed before whatever follows it."""
        if isinstance(node, Task):
            result[node.name] = before
            return before | {node.name}
        if isinstance(node, Chain):
            for child in node.children:
                before = visit(child, before)
            return before
        return before.union(*(visit(child, before) for child in node.children))

    visit(root, frozenset())
    return result


def closure(parents: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """All ancestors, from direct parents."""
    result: dict[str, frozenset[str]] = {}

    def above(name: str) -> frozenset[str]:
        if name not in result:
            direct = frozenset(parents[name])
            result[name] = direct.union(*(above(parent) for parent in direct))
        return result[name]

    for name in parents:
        above(name)
    return result


def parents_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """For each step the steps that must have succeeded before it starts, by the edges."""
    return {
        task.name: (
            *_named_by(graph, stage, EdgeKind.AFTEROK),
            *(
                graph.stages[edge.parent].tasks[index].name
                for edge in stage.edges
                if edge.kind is EdgeKind.AFTERCORR
            ),
        )
        for stage in graph.stages
        for index, task in enumerate(stage.tasks)
    }


def lanes_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """For each step the steps that must have ended before it starts, well or not."""
    return {
        task.name: _named_by(graph, stage, EdgeKind.AFTERANY)
        for stage in graph.stages
        for task in stage.tasks
    }


def _named_by(graph: Graph, stage: Stage, kind: EdgeKind) -> tuple[str, ...]:
    """The steps of all stages that `stage` has an edge of this kind to."""
    return tuple(
        task.name
        for edge in stage.edges
        if edge.kind is kind
        for task in graph.stages[edge.parent].tasks
    )


def _build(form: Any, names: list[int]) -> Node:
    if isinstance(form, SlurmArgs):
        names.append(len(names))
        return Step(f"s{names[-1]}", nothing, form)
    group, children = form
    return group(*(_build(child, names) for child in children))  # type: ignore[no-any-return]


def _branches(
    inner: st.SearchStrategy[Any], groups: Sequence[Callable[..., Node]] = (Chain, Parallel)
) -> st.SearchStrategy[Any]:
    """Groups of anything, and Parallels of alike branches, which are what is stacked."""
    parallels = st.sampled_from([group for group in groups if group is not Chain])
    anything = st.tuples(st.sampled_from(groups), st.lists(inner, max_size=4))
    alike = st.tuples(parallels, st.tuples(inner, st.integers(2, 5)).map(lambda p: [p[0]] * p[1]))
    mixed = st.tuples(
        parallels, st.tuples(inner, inner, st.integers(2, 3)).map(lambda p: [p[0], p[1]] * p[2])
    )
    return st.one_of(anything, alike, mixed)


def _size(form: Any) -> int:
    return 1 if isinstance(form, SlurmArgs) else sum(map(_size, form[1]))


def _trees(branches: Callable[[Any], st.SearchStrategy[Any]]) -> st.SearchStrategy[Node]:
    forms = st.recursive(_LEAF, branches, max_leaves=12).filter(lambda form: _size(form) <= 120)
    return forms.map(lambda form: _build(form, []))


_LIMITED = [partial(Parallel, max_concurrent=limit) for limit in (1, 2, 3)]
trees = _trees(_branches)
limited_trees = _trees(partial(_branches, groups=(Chain, Parallel, *_LIMITED)))


def run_tracked(graph: Graph, failing: frozenset[str]) -> dict[str, str]:
    """The final states by the tracker, whose rules are Slurm's with kill-on-invalid-dep=yes.

    afterok waits for all tasks of a job and can never be met once one of them did not complete;
    aftercorr is the same between two tasks of one index (both confirmed on Slurm 22.05). A job
    whose dependency can never be met is cancelled, and counts as not completed for others.
    """
    states: dict[str, str] = {}
    tracker: Tracker[Task] = Tracker(graph.stages)
    while (task := tracker.next()) is not None:
        states[task.name] = "FAILED" if task.name in failing else "COMPLETED"
        for blocked in tracker.end(task, succeeded=task.name not in failing):
            states[blocked.name] = "CANCELLED"
    return states
