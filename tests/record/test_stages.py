"""What is written per stage, per submission, and read back as a tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Parallel
from planit.nodes import Resources
from planit.record import submissions
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After, Needed, StageDir, stage_dirs
from planit.record.submissions import SubmittedPart, SubmittedStage
from planit.record.submitted_tree import SubmittedStep, submitted_tree

PARENT = Needed("p", 1, 4, 2)


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "p")


def written(run: RunDir, number: int, tasks: list[tuple[str, str]], after: After) -> StageDir:
    stage = run.stage_dir(1, number)
    stage.write(tasks, after)
    return stage


# The folder of a stage


def test_tasks_and_what_they_wait_for_come_back_as_they_were_written(run: RunDir) -> None:
    tasks = [("a-slug", "a name"), ("b", "b\u2028 \u00e4")]
    after = After([("afterok", 3), ("aftercorr", 5)], [PARENT], is_in_lane=True)
    stage = written(run, 7, tasks, after)
    assert stage.path == run.path / "stages" / "1.7"
    assert (stage.tasks(), stage.after()) == (tasks, after)
    assert (stage.script, stage.tasks_file) == (stage.path / "script.sh", stage.path / "tasks")


def test_a_stage_that_waits_for_nobody_says_so(run: RunDir) -> None:
    assert written(run, 0, [("a", "a")], After()).after() == After([], [], is_in_lane=False)
    assert run.stage_dir(1, 0).needed(0) == []


def test_a_task_needs_all_tasks_of_an_edge_or_the_one_of_its_own_branch(run: RunDir) -> None:
    written(run, 0, [("a", "A"), ("b", "B")], After())
    written(run, 1, [("c", "C"), ("d", "D")], After())
    stage = written(run, 2, [("e", "E"), ("f", "F")],
                    After([("afterok", 0), ("aftercorr", 1)], [PARENT]))  # fmt: skip
    whole = [Needed("A", 1, 0, 0), Needed("B", 1, 0, 1)]
    assert stage.needed(0) == [*whole, Needed("C", 1, 1, 0), PARENT]
    assert stage.needed(1) == [*whole, Needed("D", 1, 1, 1), PARENT]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"stages": [3], "steps": []}',
                                  '{"stages": [], "steps": [[1]]}', '{"stages": []}'])  # fmt: skip
def test_what_cannot_be_read_is_needed_by_nobody_knows_whom(run: RunDir, text: str) -> None:
    stage = written(run, 0, [("a", "a")], After())
    (stage.path / "after.json").write_text(text)
    with pytest.raises(ValueError, match="cannot be read"):
        stage.after()
    assert stage.needed(0) is None


def test_a_parents_list_that_is_gone_is_unreadable(run: RunDir) -> None:
    stage = written(run, 1, [("a", "a")], After([("afterok", 0)]))
    assert stage.needed(0) is None
    with pytest.raises(OSError, match="tasks"):
        run.stage_dir(1, 0).tasks()


def test_the_stages_of_a_run_are_in_order(run: RunDir) -> None:
    for name in ("2.0", "1.10", "1.9", "x.1", "1.y", "3"):
        (run.path / "stages" / name).mkdir(parents=True)
    found = [(stage.submission, stage.number) for stage in stage_dirs(run.path)]
    assert found == [(1, 9), (1, 10), (2, 0)]
    assert stage_dirs(run.path)[0].run_path == run.path


# What a submission consists of


STAGE = SubmittedStage(
    3, "n", "beta", True, ["a", "b"], [("afterok", 1)], {"time": "5"}, 2, True
)  # fmt: skip


def test_stages_come_back_as_they_were_written(run: RunDir) -> None:
    plain = SubmittedStage(1, "m", None, False, ["c"], [])
    first = SubmittedPart(0, [0], [], {"time": "5"})
    parts = (first, SubmittedPart(0, [1], [("afterok", 0)], {"time": "6"}, 3))
    packed = SubmittedStage(4, "p", None, False, ["d", "e"], [], {"time": "7"}, packed=parts)
    submissions.write(run.path, 1, [plain, STAGE, packed])
    assert submissions.read(run.path, 1) == [plain, STAGE, packed]
    assert submissions.read(run.path, 2) is None


def test_the_numbers_of_submissions_are_in_order(run: RunDir) -> None:
    for name in ("10.json", "9.json", "9.jobs.json", "9.context.json", "x.json"):
        (run.path / "submissions" / name).write_text("{}")
    assert submissions.numbers(run.path) == [9, 10]


def content(**more: Any) -> dict[str, Any]:
    return {**vars(STAGE), "edges": [], **more}


def part(**more: Any) -> dict[str, Any]:
    own = {"job": 0, "tasks": [0, 1], "edges": [], "options": {}, "max_concurrent": None}
    return {**own, **more}


@pytest.mark.parametrize(
    "stages",
    [
        None,
        [content(packed=3)],
        [content(packed=[3])],
        [content(packed=[part(tasks=[0])])],
        [content(packed=[part(tasks=["x", 1])])],
        [content(packed=[part(job="x")])],
        [content(packed=[part(options=3)])],
        [content(packed=[part(max_concurrent="x")])],
        [content(packed=[part(edges=[["afterok", 0]])])],
        [content(packed=[part(tasks=[0]), part(tasks=[1], job=1, edges=[["afterok", 0]])])],
        3,
        [3],
        [{}],
        [content(number="x")],
        [content(edges=[["afterok", 99]])],
        [content(edges=[3])],
        [content(options=3)],
        [content(max_concurrent="x")],
        [content(number=1, tasks=["z"]), content(edges=[["aftercorr", 1]])],
    ],
)
def test_stages_that_are_not_whole_are_none(run: RunDir, stages: Any) -> None:
    submissions.path_of(run.path, 1).write_text(json.dumps({"stages": stages}))
    assert submissions.read(run.path, 1) is None


def test_an_array_may_wait_for_a_smaller_stage_as_a_whole(run: RunDir) -> None:
    stages = [content(number=1, tasks=["z"]), content(edges=[["afterok", 1]])]
    submissions.path_of(run.path, 1).write_text(json.dumps({"stages": stages}))
    assert submissions.read(run.path, 1) is not None


# The tree of what is submitted again


def leaf(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "Step", "name": name, "slug": name, **more}


def kept(tree: dict[str, Any], *names: str) -> Any:
    resources = {name: Resources({"time": "5"}) for name in names}
    return submitted_tree(tree, resources, names)


def shape(node: Any) -> Any:
    if isinstance(node, SubmittedStep):
        return node.name
    return (type(node).__name__, *(shape(child) for child in node.children))


TREE = {
    "kind": "Chain",
    "children": [
        leaf("a"),
        {"kind": "Parallel", "max_concurrent": 3, "children": [leaf("b"), leaf("c"), leaf("d")]},
        leaf("e"),
    ],
}


def test_only_the_kept_steps_are_in_the_tree_and_no_group_of_one() -> None:
    everything = ("Chain", "a", ("Parallel", "b", "c", "d"), "e")
    assert shape(kept(TREE, *"abcde")) == everything
    assert shape(kept(TREE, *"bc")) == ("Parallel", "b", "c")
    assert shape(kept(TREE, *"abe")) == ("Chain", "a", "b", "e")
    assert shape(kept(TREE, "d")) == "d"
    assert shape(kept(TREE)) == ("Chain",)


def test_groups_keep_their_limit_and_steps_what_their_leaf_says() -> None:
    group = kept(TREE, *"bc")
    assert isinstance(group, Parallel)
    assert group.max_concurrent == 3
    step = kept(leaf("x", func="m.f", targets=["m.g"]), "x")
    assert (step.func, step.targets, step.kind, step.launches) == ("m.f", ["m.g"], "Step", True)
    assert step.slurm_args == {"time": "5"}
    command = kept({**leaf("x"), "kind": "Command"}, "x")
    assert (command.func, command.targets, command.launches) == (None, [], False)
    assert isinstance(kept(TREE, *"ae"), Chain)
