"""The rows of a run's results, from what its steps have left so far."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Node, RunError, Sweep
from planit.graph import Branch, merge
from planit.record.run_dir import RunDir
from planit.status.result_rows import RunResults, StepResult, run_results
from planit.status.states import State
from planit.submit.resumption import Resume
from tests.memory import MemoryScheduler
from tests.runs import ARGS, a, begin, end, files_of, history, submitted


def branches() -> Node:
    """Two branches of train and eval, and a join."""
    rows = [Branch({"lr": lr}, Chain(a("train"), a("eval"), a("all"))) for lr in ("0.1", "0.2")]
    return merge(rows, share=False, join=["all"])


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def run(slurm: MemoryScheduler, tmp_path: Path) -> RunDir:
    return submitted(slurm, tmp_path, branches())


def results(run: RunDir, slurm: MemoryScheduler, step: str | None = None) -> RunResults:
    return run_results(RunDir(run.path), slurm, step)


def ended(
    run: RunDir, slurm: MemoryScheduler, name: str, outcome: str = "succeeded", **more: Any
) -> None:
    """End a step, as its record and the queue have it."""
    key = history(run).placements[name].key
    end(run, name, outcome, "broken" if outcome == "failed" else None, **more)
    slurm.set(str(key), "COMPLETED" if outcome == "succeeded" else "FAILED")


def leave_pickle(run: RunDir, slurm: MemoryScheduler, name: str, value: Any) -> None:
    """End a step as one does that returned what is not plain data."""
    ended(run, slurm, name)
    with files_of(run, name).record(0).open("ab") as file:
        file.write(pickle.dumps(value))


def test_a_run_that_has_just_begun_has_rows_of_the_last_step_of_its_branches(
    run: RunDir, slurm: MemoryScheduler
) -> None:
    found = results(run, slurm)
    assert found.step == "eval"
    assert found.rows == [
        StepResult("eval[lr=0.1]", {"lr": 0.1}, State.PENDING),
        StepResult("eval[lr=0.2]", {"lr": 0.2}, State.PENDING),
    ]


def test_a_run_that_goes_on_has_the_results_of_the_last_step_that_has_one(
    run: RunDir, slurm: MemoryScheduler
) -> None:
    ended(run, slurm, "train[lr=0.2]", result={"loss": 0.5, "n": math.nan})
    begin(run, "train[lr=0.1]")
    slurm.set("1_0", "RUNNING", elapsed_s=7)
    found = results(run, slurm)
    assert found.step == "train"
    assert found.rows[0] == StepResult("train[lr=0.1]", {"lr": 0.1}, State.RUNNING, None, 7)
    second = found.rows[1]
    assert (second.state, second.elapsed_s, second.has_result) == (State.DONE, 5.0, True)
    assert repr(second.result) == "{'loss': 0.5, 'n': nan}"
    ended(run, slurm, "eval[lr=0.2]", result=1)
    assert [row.result for row in results(run, slurm).rows] == [None, 1]


def test_a_step_is_named_with_its_branch_or_without(run: RunDir, slurm: MemoryScheduler) -> None:
    names = {
        step: [row.step for row in results(run, slurm, step).rows]
        for step in ("train", "train[lr=0.2]", "all")
    }
    assert names == {
        "train": ["train[lr=0.1]", "train[lr=0.2]"],
        "train[lr=0.2]": ["train[lr=0.2]"],
        "all": ["all"],
    }
    with pytest.raises(RunError, match=r"no step 'trian' in the run \(did you mean train\?"):
        results(run, slurm, "trian")


def test_without_a_sweep_every_step_has_a_row(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    ended(run, slurm, "a", result=[1])
    found = results(run, slurm)
    assert found.step is None
    assert [(row.step, row.values, row.result) for row in found.rows] == [
        ("a", {}, [1]),
        ("b", {}, None),
    ]


def test_a_sweep_node_gives_values_as_they_were(slurm: MemoryScheduler, tmp_path: Path) -> None:
    over: dict[str, list[Any]] = {"x": [0.5, "007", None, {"a": [1]}, Path("/data"), print]}
    run = submitted(slurm, tmp_path, Sweep("s", "builtins.dict", ARGS, over={"secs": over["x"]}))
    assert [row.values["secs"] for row in results(run, slurm).rows] == [
        0.5,
        "007",
        None,
        {"a": [1]},
        "PosixPath('/data')",
        "<built-in function print>",
    ]


def test_what_is_pickled_is_not_read_but_told(run: RunDir, slurm: MemoryScheduler) -> None:
    """That also is what a record without plain results has, of an older planit."""
    for number, lr in enumerate(("0.1", "0.2")):
        leave_pickle(run, slurm, f"eval[lr={lr}]", {number})
    rows = results(run, slurm).rows
    assert [(row.result, row.is_pickled, row.has_result) for row in rows] == [
        (None, True, True)
    ] * 2


def test_only_what_is_done_has_a_result(run: RunDir, slurm: MemoryScheduler) -> None:
    ended(run, slurm, "eval[lr=0.1]", "failed", result=3)
    first = results(run, slurm, "eval").rows[0]
    assert (first.state, first.result, first.is_pickled) == (State.FAILED, None, False)


def test_after_a_resume_the_newest_result_of_each_branch_counts(
    run: RunDir, slurm: MemoryScheduler
) -> None:
    for name in ("train", "eval"):
        for number, lr in enumerate(("0.1", "0.2")):
            ended(run, slurm, f"{name}[lr={lr}]", result=number)
    ended(run, slurm, "all")
    Resume(RunDir(run.path), slurm, start_from=["eval[lr=0.2]"]).execute()
    assert [row.result for row in results(run, slurm, "eval").rows] == [0, None]
    ended(run, slurm, "eval[lr=0.2]", result=7, submission=2)
    assert [row.result for row in results(run, slurm, "eval").rows] == [0, 7]


def test_a_later_look_at_a_run_that_has_ended_asks_nobody(
    run: RunDir, slurm: MemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in (
        *(f"{name}[lr={lr}]" for name in ("train", "eval") for lr in ("0.1", "0.2")),
        "all",
    ):
        ended(run, slurm, step, result=1)
    monkeypatch.setattr("planit.status.cache._SETTLED_S", 0.0)
    results(run, slurm)
    before = results(run, slurm)
    slurm.calls.clear()
    monkeypatch.setattr("planit.status.result_rows.run_status", None)
    assert results(run, slurm) == before
    assert not slurm.calls
