"""``planit results`` of a real sweep on this machine: functions, a command, a join."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from planit import Run
from tests.helpers import Done, planit_here, write
from tests.local.project import Project, submit_sweep

PLAN = """\
_target_: planit.Plan
name: p
steps:
  train: {func: mine.train, slurm_args: "${cpu}", lr: "${lr}", seed: "${seed}"}
  score:
    _target_: planit.Command
    command: echo "{\\"score\\":" ${lr} "}" > $PLANIT_RESULT
    slurm_args: ${cpu}
  compare: {func: mine.compare, slurm_args: "${cpu}"}
root: {_target_: planit.Chain, _args_: [train, score, compare]}
"""
ONE = """\
_target_: planit.Plan
name: one
steps: {compare: {func: mine.compare, slurm_args: "${cpu}"}}
root: compare
"""
MODULE = """\
import numpy

def train(lr, seed):
    if lr == 1 and seed == 1:
        raise ValueError("unlucky")
    return {"accuracy": numpy.float64(lr + seed / 100), "loss": {"val": float("nan")}}

def compare():
    return {1, 2}
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Four branches, one of which failed, so that the join did not run."""
    project, done = submit_sweep(tmp_path_factory.mktemp("results"), PLAN, MODULE, "0.5,1")
    assert done.code == 1, done
    yield project
    project.clean()


def results(project: Project, *words: str) -> Done:
    return planit_here("results", *words, cwd=project.folder)


def test_the_table_has_a_row_for_each_branch(swept: Project) -> None:
    run = swept.run_dir().name
    done = results(swept)
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head == f"Run {run} of plan p, step score: 3 done, 1 blocked"
    assert [line.split()[:4] for line in lines] == [
        ["lr", "seed", "state", "score"],
        ["0.5", "0", "DONE", "0.5"],
        ["0.5", "1", "DONE", "0.5"],
        ["1", "0", "DONE", "1"],
        ["1", "1", "BLOCKED", "-"],
    ]


def test_a_step_sorted_and_chosen(swept: Project) -> None:
    done = results(swept, "train", "--sort", "-accuracy", "--where", "seed=1.0", "--csv")
    lines = list(csv.DictReader(io.StringIO(done.out)))
    assert [(line["lr"], line["accuracy"], line["state"]) for line in lines] == [
        ("0.5", "0.51", "DONE"),
        ("1", "", "FAILED"),
    ]
    assert lines[0]["loss.val"] == "NaN"
    assert float(lines[0]["elapsed_s"]) >= 0


def test_json_of_a_run_that_is_named(swept: Project) -> None:
    done = results(swept, swept.run_dir().name, "train[lr=0.5,seed=1]", "--json")
    found = json.loads(done.out)
    run = swept.run_dir()
    assert (found["step"], found["path"]) == ("train", str(run.relative_to(swept.folder)))
    (row,) = found["rows"]
    assert row.pop("elapsed_s") >= 0
    assert row == {
        "step": "train[lr=0.5,seed=1]",
        "values": {"lr": 0.5, "seed": 1},
        "state": "DONE",
        "result": {"accuracy": 0.51, "loss": {"val": "NaN"}},
        "pickled": False,
    }


def test_python_has_the_rows(swept: Project) -> None:
    rows = Run(swept.run_dir()).results("score")
    assert [(row.values["lr"], row.result) for row in rows] == [
        (0.5, {"score": 0.5}),
        (0.5, {"score": 0.5}),
        (1, {"score": 1}),
        (1, None),
    ]


def test_a_step_leaves_no_more_than_its_record_and_its_log(swept: Project) -> None:
    path = swept.run_dir()
    names = [one.name for one in path.glob("stages/*/[0-9]*.*")]
    assert len(names) == len(set(path.glob("stages/*/[0-9]*.json"))) + len(
        set(path.glob("stages/*/[0-9]*.log"))
    )
    assert list(path.glob("steps/*")) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nothing"], 5, "no step 'nothing' in the latest run"),
        (["p", "tran"], 5, "no step 'tran' in the run"),
        (["--sort", "-x"], 2, "--sort: no column 'x'"),
        (["--where", "lr"], 2, "--where lr: not a condition"),
        (["train", "score"], 2, "one step is enough, not train score"),
        (["--csv", "--json"], 2, "not allowed with argument --csv"),
        (["--runs-dir", "elsewhere"], 5, "no runs in elsewhere"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    swept: Project, words: list[str], code: int, said: str
) -> None:
    done = results(swept, *words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_what_is_not_plain_is_told_and_not_unpickled(tmp_path: Path) -> None:
    project = Project(tmp_path)
    write(tmp_path / "mine.py", MODULE)
    write(tmp_path / "conf/plan/one.yaml", ONE)
    words = ("plan=one", "backend=local", "cpu.cpus_per_task=1")
    assert project.planit("submit", *words).code == 0
    done = results(project)
    assert done.code == 0
    assert [line.split()[:3] for line in done.out.splitlines()[1:]] == [
        ["step", "state", "elapsed"],
        ["compare", "DONE", "0:00:00"],
    ]
    assert done.err.startswith("1 result(s) are not plain data of at most 64 KB")
