"""Lowering keeps the order of the tree, whatever is stacked into arrays."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planit import Chain, Node, Parallel, PlanError, SlurmArgs
from planit.graph import EdgeKind, Graph, lower
from planit.nodes import Resources, Task, tasks
from tests.graph.reference import ancestors, closure, parents_of, run_tracked, trees
from tests.helpers import CPU, GPU, step

SIZES = (1, 2, 3, 1001)
FAST = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


def lowered(root: Node, size: int) -> Graph:
    return lower(root, max_array_size=lambda _cluster: size)


@pytest.mark.parametrize("size", SIZES)
@FAST
@given(root=trees)
def test_parents_taken_transitively_are_the_order_of_the_tree(root: Node, size: int) -> None:
    assert closure(parents_of(lowered(root, size))) == ancestors(root)


@pytest.mark.parametrize("size", SIZES)
@FAST
@given(root=trees)
def test_every_graph_is_well_formed(root: Node, size: int) -> None:
    graph = lowered(root, size)
    placed = [task.name for stage in graph.stages for task in stage.tasks]
    assert sorted(placed) == sorted(task.name for task, _ in tasks(root))
    for position, stage in enumerate(graph.stages):
        assert stage.number == position
        assert 1 <= len(stage.tasks) <= size
        assert stage.is_root == (not stage.edges)
        assert len({task.resources.key for task in stage.tasks}) == 1
        assert stage.resources.key == stage.tasks[0].resources.key
        assert len({edge.parent for edge in stage.edges}) == len(stage.edges)
        for edge in stage.edges:
            assert edge.parent < stage.number
            if edge.kind is EdgeKind.AFTERCORR:
                assert stage.is_array
                assert len(graph.stages[edge.parent].tasks) == len(stage.tasks)


@pytest.mark.parametrize("size", SIZES)
@FAST
@given(root=trees, data=st.data())
def test_on_slurm_exactly_the_descendants_of_failed_steps_are_cancelled(
    root: Node, size: int, data: st.DataObject
) -> None:
    before = ancestors(root)
    failing = frozenset(data.draw(st.sets(st.sampled_from(sorted(before))))) if before else set()
    states = run_tracked(lowered(root, size), frozenset(failing))
    ran_and_failed = {name for name in failing if not before[name] & failing}
    assert {name for name, state in states.items() if state == "CANCELLED"} == {
        name for name in before if before[name] & ran_and_failed
    }
    assert {name for name, state in states.items() if state == "FAILED"} == ran_and_failed


@FAST
@given(root=trees)
def test_stacking_never_costs_more_calls_than_one_job_per_step(root: Node) -> None:
    assert len(lowered(root, 1001).stages) <= sum(1 for _ in tasks(root))


def branches(count: int, branch: Callable[[int], Node]) -> Parallel:
    return Parallel(*(branch(number) for number in range(count)))


@pytest.mark.parametrize("count", [2, 10, 1001])
def test_n_branches_of_k_steps_cost_k_calls(count: int) -> None:
    def branch(i: int) -> Chain:
        return Chain(step(f"prep{i}"), step(f"train{i}", GPU), step(f"test{i}"))

    graph = lower(Chain(step("first"), branches(count, branch), step("last")))
    assert [len(stage.tasks) for stage in graph.stages] == [1, count, count, count, 1]
    kinds = [[(edge.parent, edge.kind.value) for edge in stage.edges] for stage in graph.stages]
    assert kinds == [
        [],
        [(0, "afterok")],
        [(1, "aftercorr")],
        [(2, "aftercorr")],
        [(3, "afterok")],
    ]


def test_branches_over_the_limit_of_an_array_are_cut_and_keep_their_partners() -> None:
    graph = lowered(branches(5, lambda i: Chain(step(f"a{i}"), step(f"b{i}"))), 2)
    assert [[task.name for task in stage.tasks] for stage in graph.stages] == [
        ["a0", "a1"],
        ["a2", "a3"],
        ["a4"],
        ["b0", "b1"],
        ["b2", "b3"],
        ["b4"],
    ]
    assert parents_of(graph)["b3"] == ("a3",)
    assert graph.stages[5].edges[0].kind is EdgeKind.AFTEROK  # aftercorr is for arrays only


def test_steps_with_different_parameters_share_no_array() -> None:
    graph = lower(Parallel(step("a", CPU), step("b", GPU), step("c", CPU)))
    assert [[task.name for task in stage.tasks] for stage in graph.stages] == [["a", "c"], ["b"]]


def test_parameters_that_only_the_submission_adds_decide_too() -> None:
    def resources_of(task: Task) -> Resources:
        return Resources({**task.resources.options, "comment": task.name})

    root = Parallel(step("a"), step("b"))
    assert len(lower(root, resources_of=resources_of).stages) == 2


def test_an_empty_group_passes_its_parents_on() -> None:
    root = Chain(step("a"), Chain(), Parallel(), Parallel(Chain(), Parallel()), step("b"))
    assert parents_of(lower(root)) == {"a": (), "b": ("a",)}


@pytest.mark.parametrize("root", [Chain(), Parallel(), Chain(Parallel(), Chain())])
def test_a_plan_of_empty_groups_only_has_no_stages(root: Node) -> None:
    assert lower(root).stages == ()


ALPHA = SlurmArgs(time="1:00:00", partition="batch", cluster="alpha")
BETA = SlurmArgs(time="1:00:00", partition="batch", cluster="beta")


@pytest.mark.parametrize(
    "root",
    [
        Chain(step("up", ALPHA), step("down", BETA)),
        Chain(step("up", ALPHA), Parallel(), Parallel(step("x", ALPHA), step("down", BETA))),
        Chain(Parallel(step("x", BETA), step("up", ALPHA)), step("down", BETA)),
        branches(3, lambda i: Chain(step(f"up{i}" if i else "up", ALPHA), step(f"down{i}", BETA))),
    ],
)
def test_an_edge_between_two_clusters_is_refused_naming_both_steps(root: Node) -> None:
    with pytest.raises(PlanError) as caught:
        lower(root)
    message = caught.value.message
    assert "'up'" in message
    assert "'down" in message
    assert "(cluster alpha)" in message
    assert "(cluster beta)" in message


def test_the_default_cluster_is_another_one_than_a_named_one() -> None:
    with pytest.raises(PlanError, match="cluster the default"):
        lower(Chain(step("a", ALPHA), step("b")))


def test_independent_steps_may_be_on_two_clusters() -> None:
    assert len(lower(Parallel(step("a", ALPHA), step("b", BETA))).stages) == 2


def test_a_stack_is_cut_into_chunks_by_the_limit_of_its_own_cluster() -> None:
    limits = {"alpha": 2, "beta": 3, None: 1001}
    alpha = [step(f"a{i}", ALPHA) for i in range(4)]
    beta = [step(f"b{i}", BETA) for i in range(4)]
    graph = lower(Parallel(*alpha, *beta), max_array_size=lambda cluster: limits[cluster])
    assert [len(stage.tasks) for stage in graph.stages] == [2, 2, 3, 1]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["train"], "train"),
        (["train_0", "train_1", "train_12"], "train"),
        (["fit[lr=1]", "fit[lr=2]"], "fit"),
        (["a", "b"], "a"),
        (["x", "x1"], "x"),
    ],
)
def test_an_array_is_called_by_what_its_steps_names_begin_with(
    names: list[str], expected: str
) -> None:
    assert lower(Parallel(*map(step, names))).stages[0].name == expected


def test_deep_nesting_is_refused_in_one_line_and_not_with_a_recursion_error() -> None:
    root: Node = step("a")
    for _ in range(20_000):
        root = Chain(root)
    with pytest.raises(PlanError, match="nested too deeply"):
        lower(root)


def test_a_wide_plan_of_100_000_steps_is_lowered() -> None:
    root = Chain(step("first"), branches(50_000, lambda i: Chain(step(f"a{i}"), step(f"b{i}"))))
    graph = lower(root)
    assert len(graph.stages) == 1 + 2 * 50  # 50,000 in chunks of 1,001
    assert parents_of(graph)["b49999"] == ("a49999",)
