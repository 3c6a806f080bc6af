"""What a step reads of where it stands."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import planit
from planit import Chain, PlanError, PlanitError, RunError
from planit.graph import Branch, merge
from planit.job.standing import CurrentStep
from planit.record.run_dir import RunDir
from planit.submit.resumption import Resume
from tests.helpers import planit_here
from tests.memory import MemoryScheduler
from tests.runs import a, end, files_of, submitted

_opened: list[str] | None = None


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _opened is not None and event in ("open", "os.listdir", "os.scandir"):
        _opened.append(str(args[0]))


sys.addaudithook(_note)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """What is opened or listed meanwhile."""
    global _opened  # noqa: PLW0603 (an audit hook cannot be removed)
    _opened = []
    yield _opened
    _opened = None


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def run(slurm: MemoryScheduler, tmp_path: Path) -> RunDir:
    """Three branches of train and eval, and a join; nothing has started."""
    tree = Chain(a("prepare"), a("train"), a("eval"), a("compare"))
    root = merge([Branch({"seed": str(i)}, tree) for i in range(3)], share=False, join=["compare"])
    return submitted(slurm, tmp_path, root)


def current(
    run: RunDir, name: str, monkeypatch: pytest.MonkeyPatch, submission: int = 1
) -> CurrentStep:
    """What the step of a run gets."""
    monkeypatch.setenv("PLANIT_RUN_DIR", str(run.path))
    monkeypatch.setenv("PLANIT_STEP", name)
    monkeypatch.setenv("PLANIT_STEP_DIR", str(run.path / "steps" / "own"))
    monkeypatch.setenv("PLANIT_SUBMISSION", str(submission))
    monkeypatch.setenv("PLANIT_RESTART", "2")
    return planit.current()


def test_outside_of_a_step_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANIT_STEP", raising=False)
    with pytest.raises(PlanitError, match="this process is not in a step of a run") as refused:
        planit.current()
    assert "planit current in a Command" in str(refused.value.hint)
    done = planit_here("current", "--json")
    assert done.code == 5
    assert done.err.startswith("planit: error: this process is not in a step of a run\n")
    assert len(done.err.splitlines()) == 2


def test_it_gives_the_step_and_its_branch(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    here = current(run, "eval[seed=1]", monkeypatch)
    assert (here.name, here.plan, here.run_dir) == ("eval[seed=1]", "p", run.path)
    assert here.dir == run.path / "steps" / "own"
    assert here.attempt == (1, 2)
    assert here.values == {"seed": 1}
    assert [one.name for one in here.parents] == ["train[seed=1]"]
    assert [one.dir for one in here.ancestors("train")] == [run.step_dir("train-001")]
    assert [one.name for one in here.ancestors()] == ["prepare[seed=1]", "train[seed=1]"]


def test_it_reads_one_file_for_all_branches(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> None:
    here = current(run, "compare", monkeypatch)
    assert not [path for path in opened if str(run.path) in path], "nothing before it is asked"
    assert [one.values for one in here.ancestors("train")] == [{"seed": i} for i in range(3)]
    assert [path for path in opened if str(run.path) in path] == [str(run.path / "manifest.json")]


def test_an_unknown_ancestor_is_refused(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="no step 'trian' comes before step 'compare'") as refused:
        current(run, "compare", monkeypatch).ancestors("trian")
    assert refused.value.hint == "did you mean train? known: eval, prepare, train"
    with pytest.raises(PlanError, match="no step 'compare' comes before"):
        current(run, "eval[seed=1]", monkeypatch).ancestors("compare")
    with pytest.raises(RunError, match="has no step 'other'"):
        _ = current(run, "other", monkeypatch).parents


def test_results_are_those_of_the_newest_attempt_that_succeeded(
    run: RunDir, slurm: MemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prepare[seed=0]", "train[seed=0]", "eval[seed=0]"):
        end(run, name, result={"of": name})
    end(run, "prepare[seed=1]", result=1)
    end(run, "train[seed=1]", "failed", "unlucky")
    end(run, "prepare[seed=2]", result=2)
    end(run, "train[seed=2]", result="first")
    for key in [key for _, key in slurm.jobs]:
        slurm.set(key, "COMPLETED")
    here = current(run, "compare", monkeypatch)
    assert [one.result for one in here.ancestors("train")] == [
        {"of": "train[seed=0]"},
        None,
        "first",
    ]
    Resume(run, slurm, start_from=["train[seed=2]", "train[seed=1]"]).execute()
    end(run, "train[seed=2]", submission=2, result="second")
    again = current(run, "compare", monkeypatch, submission=2)
    assert again.attempt == (2, 2)
    assert [one.result for one in again.ancestors("train")][::2] == [
        {"of": "train[seed=0]"},
        "second",
    ]
    assert [one.name for one in again.parents] == [f"eval[seed={i}]" for i in range(3)]


def test_an_attempt_that_failed_has_no_result(
    run: RunDir, slurm: MemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("prepare[seed=0]", "train[seed=0]"):
        end(run, name, result="first")
    for key in [key for _, key in slurm.jobs]:
        slurm.set(key, "COMPLETED")
    Resume(run, slurm, only=["train[seed=0]"]).execute()
    end(run, "train[seed=0]", "failed", "unlucky", submission=2)
    (train,) = current(run, "eval[seed=0]", monkeypatch).ancestors("train")
    assert train.result == "first"


def test_a_lost_record_is_no_result(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    end(run, "train[seed=0]", result=1)
    files_of(run, "train[seed=0]").record(0).write_text("torn")
    (train,) = current(run, "eval[seed=0]", monkeypatch).ancestors("train")
    assert train.result is None
    assert json.dumps(train.as_json())
