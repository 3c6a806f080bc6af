"""What a tree means, said as plainly as possible; the lowering is held against it.

Also a small model of Slurm's rules, in which lowered plans run with failing steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from planit import Chain, Node, Parallel, SlurmArgs, Step
from planit.graph import EdgeKind, Graph, Stage
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


def _build(form: Any, names: list[int]) -> Node:
    if isinstance(form, SlurmArgs):
        names.append(len(names))
        return Step(f"s{names[-1]}", nothing, form)
    group, children = form
    return group(*(_build(child, names) for child in children))  # type: ignore[no-any-return]


def _branches(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Groups of anything, and Parallels of alike branches, which are what is stacked."""
    anything = st.tuples(st.sampled_from([Chain, Parallel]), st.lists(inner, max_size=4))
    alike = st.tuples(
        st.just(Parallel), st.tuples(inner, st.integers(2, 5)).map(lambda p: [p[0]] * p[1])
    )
    mixed = st.tuples(
        st.just(Parallel),
        st.tuples(inner, inner, st.integers(2, 3)).map(lambda p: [p[0], p[1]] * p[2]),
    )
    return st.one_of(anything, alike, mixed)


def _size(form: Any) -> int:
    return 1 if isinstance(form, SlurmArgs) else sum(map(_size, form[1]))


forms = st.recursive(_LEAF, _branches, max_leaves=12).filter(lambda form: _size(form) <= 120)
trees: st.SearchStrategy[Node] = forms.map(lambda form: _build(form, []))


def run_on_slurm(graph: Graph, failing: frozenset[str]) -> dict[str, str]:
    """Final states by Slurm's rules, with --kill-on-invalid-dep=yes on every job.

    afterok waits for all tasks of a job and can never be met once one of them did not complete;
    aftercorr is the same between two tasks of one index (both confirmed on Slurm 22.05). A job
    whose dependency can never be met is cancelled, and counts as not completed for others.
    """
    states: dict[str, str] = {}

    def met(stage: Stage, index: int) -> bool:
        for edge in stage.edges:
            before = graph.stages[edge.parent].tasks
            awaited = before if edge.kind is EdgeKind.AFTEROK else (before[index],)
            if any(states[task.name] != "COMPLETED" for task in awaited):
                return False
        return True

    for stage in graph.stages:
        for index, task in enumerate(stage.tasks):
            if not met(stage, index):
                states[task.name] = "CANCELLED"
            else:
                states[task.name] = "FAILED" if task.name in failing else "COMPLETED"
    return states
