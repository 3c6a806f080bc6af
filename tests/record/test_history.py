"""What a run's journal and submissions say was submitted: the newest job of each step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from planit.errors import RunError
from planit.record import history, submissions
from planit.record.history import History, Leaf
from planit.record.jobs import JobRef, JobView
from planit.record.run_dir import RunDir
from planit.record.submissions import SubmittedStage


def leaf(name: str, **more: Any) -> dict[str, Any]:
    return {"kind": "Step", "name": name, "slug": f"{name}-slug", "slurm": {"time": "5"}, **more}


def chain(*children: Any) -> dict[str, Any]:
    return {"kind": "Chain", "children": list(children)}


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A run of a, then b and c side by side, then d."""
    run = RunDir.create(tmp_path, "p")
    both = {"kind": "Parallel", "children": [leaf("b"), leaf("c")]}
    run.write_manifest({"plan": "p", "tree": chain(leaf("a"), both, leaf("d"))})
    return run


def stage(
    number: int, *tasks: str, edges: Sequence[tuple[str, int]] = (), **more: Any
) -> SubmittedStage:
    given = {"cluster": None, "array": len(tasks) > 1, "options": {"time": "5"}, **more}
    return SubmittedStage(number, "name", tasks=tasks, edges=edges, **given)


def write(run: RunDir, number: int, *stages: SubmittedStage) -> None:
    submissions.write(run.path, number, stages)


def first(run: RunDir) -> None:
    """The first submission, with its jobs."""
    write(
        run,
        1,
        stage(0, "a"),
        stage(1, "b", "c", edges=[("afterok", 0)]),
        stage(2, "d", edges=[("afterok", 1), ("afterany", 0)]),
    )
    run.journal.append("submission", number=1, pid=7, host="h", stages=3)
    for number in range(3):
        run.journal.append("submitted", number=1, stage=number, job=str(10 + number), cluster=None)


def test_the_steps_are_in_the_order_of_the_plan(run: RunDir) -> None:
    found = history.read(run)
    assert found.leaves == [Leaf(name, f"{name}-slug", "5", name) for name in "abcd"]
    assert (found.placements, found.parents, found.last_submission) == ({}, {}, 0)
    assert not found.incomplete
    assert not found.was_cancelled("a")


def test_a_step_of_a_branch_has_its_values(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path, "p")
    run.write_manifest({"plan": "p", "tree": leaf("t[lr=1]", base="t", values={"lr": 1})})
    assert history.read(run).leaves == [Leaf("t[lr=1]", "t[lr=1]-slug", "5", "t", {"lr": 1})]


def test_each_step_is_where_the_submission_put_it(run: RunDir) -> None:
    first(run)
    found = history.read(run)
    assert [found.placements[name].key for name in "abcd"] == ["10", "11_0", "11_1", "12"]
    b = found.placements["b"]
    assert (b.submission, b.stage, b.index, b.cluster, b.options) == (1, 1, 0, None, {"time": "5"})
    assert b.job == JobRef(None, "11")
    assert found.placements["a"].index is None
    assert found.jobs == {(1, number): JobRef(None, str(10 + number)) for number in range(3)}
    assert (found.last_submission, found.pid, found.host) == (1, 7, "h")


def test_each_step_waits_for_the_steps_of_its_edges(run: RunDir) -> None:
    first(run)
    parents = {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")}
    assert history.read(run).parents == parents
    assert {n: p.parents for n, p in history.read(run).placements.items()} == parents


def test_a_task_waits_for_the_task_of_its_own_branch(run: RunDir) -> None:
    run.write_manifest({"plan": "p", "tree": chain(*map(leaf, "abcxy"))})
    write(
        run, 1, stage(0, "a"), stage(1, "b", "c"),
        stage(2, "x", "y", edges=[("afterok", 0), ("aftercorr", 1)]),
    )  # fmt: skip
    assert history.read(run).parents["x"] == ("a", "b")
    assert history.read(run).parents["y"] == ("a", "c")


def test_a_step_without_an_id_has_none(run: RunDir) -> None:
    write(run, 1, stage(0, "a", cluster="beta"))
    place = history.read(run).placements["a"]
    assert (place.job, place.key, place.cluster) == (None, None, "beta")


def test_the_cluster_is_the_jobs_or_else_the_stages(run: RunDir) -> None:
    write(run, 1, stage(0, "a", cluster="beta"), stage(1, "b", cluster="beta"))
    run.journal.append("submitted", number=1, stage=0, job="1", cluster="gamma")
    run.journal.append("submitted", number=1, stage=1, job="1")
    places = history.read(run).placements
    assert (places["a"].cluster, places["b"].cluster) == ("gamma", "beta")


def test_the_newest_submission_of_a_step_counts(run: RunDir) -> None:
    first(run)
    write(run, 2, stage(0, "d", edges=[]))
    run.journal.append("submission", number=2, pid=8, host="h2")
    run.journal.append("submitted", number=2, stage=0, job="20", cluster=None)
    found = history.read(run)
    assert [found.placements[name].key for name in "abcd"] == ["10", "11_0", "11_1", "20"]
    assert found.placements["d"].parents == ()
    assert found.parents["d"] == ("b", "c")  # in the whole plan
    assert (found.last_submission, found.pid, found.host) == (2, 8, "h2")


def test_what_was_taken_back_leaves_the_job_that_was_there_before(run: RunDir) -> None:
    run.write_manifest({"plan": "p", "tree": chain(*map(leaf, "abcde"))})
    first(run)
    write(run, 2, stage(0, "d"), stage(1, "e"))
    run.journal.append("aborted", number=2, reason="refused")
    found = history.read(run)
    assert (found.placements["d"].key, found.placements["d"].submission) == ("12", 1)
    assert found.placements["e"].submission == 2
    assert found.aborted == {2: "refused"}


def test_a_submission_is_incomplete_until_it_is_released_or_taken_back(run: RunDir) -> None:
    first(run)
    assert history.read(run).incomplete
    run.journal.append("released", number=1)
    found = history.read(run)
    assert (found.incomplete, found.released) == (False, {1})
    run.journal.append("submission", number=2)
    assert history.read(run).incomplete
    run.journal.append("aborted", number=2)
    found = history.read(run)
    assert (found.incomplete, found.aborted) == (False, {2: ""})


def test_a_release_after_all_undoes_a_taking_back(run: RunDir) -> None:
    first(run)
    run.journal.append("aborted", number=1, reason="x")
    run.journal.append("released", number=1)
    found = history.read(run)
    assert (found.aborted, found.released) == ({}, {1})


def test_a_submission_that_only_left_its_file_counts(run: RunDir) -> None:
    write(run, 3, stage(0, "a"))
    assert history.read(run).last_submission == 3
    assert history.read(run).incomplete


def test_a_cancelled_step_is_cancelled_until_it_is_submitted_again(run: RunDir) -> None:
    first(run)
    run.journal.append("cancelled", number=1, steps=["d"])
    assert history.read(run).was_cancelled("d")
    assert not history.read(run).was_cancelled("a")
    write(run, 2, stage(0, "d"))
    assert not history.read(run).was_cancelled("d")
    run.journal.append("cancelled", number=2, steps=["d", "nobody"])
    assert history.read(run).was_cancelled("d")
    assert not history.read(run).was_cancelled("nobody")


def test_what_is_behind_a_step_is_all_that_depends_on_it(run: RunDir) -> None:
    first(run)
    found = history.read(run)
    assert found.behind(["b"]) == {"b", "d"}
    assert found.behind(["a"]) == {"a", "b", "c", "d"}
    assert found.behind([]) == set()
    assert History().behind(["x"]) == {"x"}


def test_submissions_that_cannot_be_read_are_named(run: RunDir) -> None:
    first(run)
    write(run, 2, stage(0, "d"))
    submissions.path_of(run.path, 1).write_text("{")
    found = history.read(run)
    assert found.unreadable == {1}
    assert found.problems == ["submissions/1.json is not readable"]
    assert list(found.placements) == ["d"]
    submissions.path_of(run.path, 1).unlink()
    assert history.read(run).unreadable == {1}  # it had jobs


def test_a_torn_line_of_the_journal_is_a_problem(run: RunDir) -> None:
    first(run)
    with run.journal.path.open("a") as file:
        file.write('{"event": "rele')
    assert history.read(run).problems == ["journal.jsonl, line 5 is not a whole event"]


def test_foreign_events_change_nothing(run: RunDir) -> None:
    first(run)
    before = history.read(run)
    run.journal.append("coffee", number=9)
    run.journal.append("intent", number=1, stage=0, tag="t")
    assert history.read(run) == before


DAMAGED: list[tuple[str, dict[str, Any]]] = [
    ("it has no name of the plan", {"plan": 3}),
    ("its configuration is not an object", {"config": []}),
    ("a node of its tree is not an object", {"tree": 3}),
    ("a node of its tree is not an object", {"tree": chain([])}),
    ("a group of its tree is neither", {"tree": {"kind": "Chain", "children": {}}}),
    ("a group of its tree is neither", {"tree": {"kind": ["Chain"], "children": []}}),
    ("the label of a group", {"tree": {**chain(), "label": 3}}),
    ("max_concurrent of a group", {"tree": {**chain(), "max_concurrent": "2"}}),
    ("a step has no name", {"tree": chain({"kind": "Step", "name": "\x1b[31m"})}),
    ("two steps are called 'x'", {"tree": chain(leaf("x"), leaf("x"))}),
    ("step 'x' has no kind", {"tree": {**leaf("x"), "kind": None}}),
    ("step 'x' has no slug", {"tree": {**leaf("x"), "slug": "../x"}}),
    ("step 'x' has no SLURM arguments", {"tree": {**leaf("x"), "slurm": 3}}),
    ("has a function that is not text", {"tree": leaf("x", func=3)}),
    ("has targets that are not texts", {"tree": leaf("x", targets=[3])}),
    ("has an origin that is none", {"tree": leaf("x", origin={"stepp": "a"})}),
    ("has an origin that is none", {"tree": leaf("x", origin={"own": []})}),
    ("has a name without its branch that is not text", {"tree": leaf("x", base=3)}),
    ("has swept values that are not an object", {"tree": leaf("x", values=[3])}),
    ("3 is not the time of a step", {"tree": leaf("x", slurm={"time": 3})}),
    ("'soon' is not the time of a step", {"tree": leaf("x", slurm={"time": "soon"})}),
]


@pytest.mark.parametrize(("says", "changes"), DAMAGED)
def test_a_damaged_manifest_is_refused(run: RunDir, says: str, changes: dict[str, Any]) -> None:
    run.write_manifest({"plan": "p", "tree": leaf("x"), **changes})
    with pytest.raises(RunError, match=re.escape(says)):
        history.read(RunDir(run.path))


def test_the_functions_of_a_tree_are_named_once() -> None:
    tree = chain(
        leaf("a", func="m.f"),
        chain(leaf("b", func="m.f"), leaf("c", func="m.g"), leaf("d")),
        leaf("e", func="m.<locals>.h"),
        leaf("f", func=3),
    )
    assert sorted(history.functions(tree, "abcdef")) == ["m.f", "m.g"]
    assert list(history.functions(tree, "c")) == ["m.g"]


# Jobs


def test_a_job_is_named_with_its_cluster() -> None:
    assert (str(JobRef(None, "12_3")), str(JobRef("beta", "12"))) == ("12_3", "12@beta")


ENDED = {
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY",
    "PREEMPTED", "REVOKED", "TIMEOUT",
}  # fmt: skip


@pytest.mark.parametrize("state", sorted({*ENDED, "PENDING", "RUNNING", "COMPLETING", "NEW_ONE"}))
def test_a_job_is_live_until_it_has_ended(state: str) -> None:
    view = JobView("12", state)
    assert view.is_live == (state not in ENDED)
    assert view.is_gone == (state in ENDED or state == "COMPLETING")
    assert view.started
