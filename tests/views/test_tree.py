"""The tree as text: the specification's two trees, and plans that are very large or very deep."""

from __future__ import annotations

from planit import Chain, Node, Parallel
from planit.views.plan_tree import tree_text
from tests import goldens
from tests.helpers import CPU, GPU, step
from tests.spec_plans import experiment, thesis


def test_the_experiment_of_the_specification_byte_for_byte() -> None:
    plan = experiment(CPU, GPU)
    assert tree_text(plan.name, plan.root) + "\n" == goldens.EXPERIMENT


def test_the_thesis_of_the_specification_byte_for_byte() -> None:
    plan = thesis(CPU, GPU)
    assert tree_text(plan.name, plan.root) + "\n" == goldens.THESIS


def test_a_plan_may_be_one_step() -> None:
    assert tree_text("p", step("only")).splitlines() == [
        "Plan: p",
        "└── ● only [01:00:00]",
        "Time Estimate (not taking queuing into account): 1:00:00",
    ]


def test_empty_groups_are_shown_with_no_time() -> None:
    assert tree_text("p", Chain(Parallel(), step("a"))).splitlines()[1:4] == [
        "└── ▼ Chain [1:00:00]",
        "    ├── ⇉ Parallel [0:00:00]",
        "    └── ● a [01:00:00]",
    ]


def test_of_a_sweep_of_nine_branches_the_first_and_the_last_are_shown() -> None:
    def shown(count: int, label: str | None = "x=1,2") -> list[str]:
        root = Parallel(*(step(f"s{i}") for i in range(count)), label=label)
        return [line[4:] for line in tree_text("p", root).splitlines()[2:-1]]

    assert [line[4:6] for line in shown(8)] == ["● "] * 8
    assert shown(9) == [
        "├── ● s0 [01:00:00]",
        "├── … 7 more branches",
        "└── ● s8 [01:00:00]",
    ]
    assert len(shown(9, label=None)) == 9


def test_from_a_day_on_estimates_are_written_with_days() -> None:
    steps = [step(f"s{i}", GPU) for i in range(13)]
    assert tree_text("p", Chain(*steps)).endswith(": 1-02:00:00")


def test_100_000_steps_are_described() -> None:
    root = Chain(*(Parallel(*(step(f"{i}.{j}") for j in range(100))) for i in range(1_000)))
    lines = tree_text("large", root).splitlines()
    assert len(lines) == 3 + 1_000 + 100_000
    assert lines[-1].endswith(": 41-16:00:00")


def test_5_000_nested_chains_are_described() -> None:
    root: Node = step("bottom")
    for _ in range(5_000):
        root = Chain(root)
    lines = tree_text("deep", root).splitlines()
    assert lines[5_001].endswith("    └── ● bottom [01:00:00]")
    assert len(lines) == 5_003
