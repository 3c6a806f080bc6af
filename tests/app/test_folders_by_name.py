"""``${dir:STEP}`` in a plan's YAML stands for the folder of that step in the same branch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit.record import history as histories
from planit.record.run_dir import RunDir
from tests.helpers import Done, planit_here, run_planit, write

CODE = """\
import json
import os
from pathlib import Path

import planit


def prepare():
    Path(os.environ["PLANIT_STEP_DIR"], "data").write_text("data")


class Model:
    def __init__(self, path):
        self.path = path


def train(lr, data):
    text = Path(data, "data").read_text()
    (planit.current().dir / "model").write_text(f"{text} {lr}")


def compare(models, built, nested, out):
    read = lambda paths: [Path(path).read_text() for path in paths]
    found = {"models": read(models), "built": read(built.path), "nested": read(nested[0]["of"])}
    found["values"] = [one.values for one in planit.current().ancestors("train")]
    Path(out).write_text(json.dumps({**found, "kind": type(models).__name__}))
"""
APP = """\
from pathlib import Path

import hydra


@hydra.main(version_base="1.3", config_path=None)
def main(config):
    Path(config.out).write_text(Path(config.model).read_text())


if __name__ == "__main__":
    main()
"""
PLAN = """\
# @package _global_
lr: 0.1
where: ${dir:train}/model
plan:
  name: p
  vars: &args {time: "5", partition: batch, cpus_per_task: 1}
  steps:
    prepare: {func: my.prepare, slurm_args: *args}
    train: {func: my.train, slurm_args: *args, lr: "${lr}", data: "${dir:prepare}"}
    eval:
      _target_: planit.Command
      slurm_args: *args
      command: cat ${where} "${dir:prepare}/data" > eval-${lr}
    app:
      _target_: planit.HydraApp
      slurm_args: *args
      script: app.py
      overrides: ["+model=${where}", "+out=app-${lr}"]
    compare:
      func: my.compare
      slurm_args: *args
      models: ${where}
      built: {_target_: my.Model, path: "${where}"}
      nested: [{of: "${dir:train}/model"}]
      out: compared
  root: {_target_: planit.Chain, _args_: [prepare, train, eval, app, compare]}
"""


def project(folder: Path) -> Path:
    write(folder / "my.py", CODE)
    write(folder / "app.py", APP)
    write(folder / "conf/plan/p.yaml", PLAN)
    write(
        folder / "conf/config.yaml", "defaults: [{slurm: cpu}, {backend: auto}, {plan: p}, _self_]"
    )
    return folder


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing runs."""
    return project(tmp_path_factory.mktemp("described"))


@pytest.fixture(scope="module", params=["local", "debug"])
def swept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which a sweep of two branches with a join has run."""
    folder = project(tmp_path_factory.mktemp("swept"))
    words = ("submit", "-m", "lr=0.1,0.2", "sweep.join=compare", f"backend={request.param}")
    done = run_planit(*words, cwd=folder)
    assert done.code == 0, done
    return folder


def test_a_command_and_a_program_find_the_folders_of_their_branch(swept: Path) -> None:
    for lr in (0.1, 0.2):
        assert (swept / f"eval-{lr}").read_text() == f"data {lr}data"
        assert (swept / f"app-{lr}").read_text() == f"data {lr}"


def test_a_join_has_lists_of_folders_also_in_what_its_job_builds(swept: Path) -> None:
    found = json.loads((swept / "compared").read_text())
    both = ["data 0.1", "data 0.2"]
    assert found == {
        "models": both,
        "built": both,
        "nested": both,
        "values": [{"lr": 0.1}, {"lr": 0.2}],
        "kind": "ListConfig",
    }


def test_equal_steps_are_shared_and_the_record_has_the_paths(swept: Path) -> None:
    runs = list((swept / "planit_runs").glob("p/*/manifest.json"))
    if not runs:
        return  # the debug backend keeps no record
    run = RunDir(runs[0].parent)
    names = [leaf.name for leaf in histories.leaves(run.manifest["tree"])]
    assert names[:2] == ["prepare", "train[lr=0.1]"]
    assert len(names) == 8
    train: Any = run.manifest["tree"]["children"][1]["children"][0]["children"][0]
    assert train["kwargs"]["data"] == str(run.step_dir("prepare"))


def test_a_plan_with_folders_can_be_shown(described: Path) -> None:
    done = planit_here("describe", "-m", "lr=0.1,0.2", "sweep.join=compare", cwd=described)
    assert done.code == 0, done
    assert "train[lr=0.1]" in done.out


def refused(folder: Path, *words: str) -> Done:
    done = planit_here("describe", *words, cwd=folder)
    assert done.code == 2, done
    return done


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["plan.steps.eval.command='cat ${dir:trian}'"],
            "step 'eval': ${dir:trian}: the plan has no step 'trian'\n  hint: did you mean train?",
        ),
        (
            ["plan.steps.train.data=${dir:compare}"],
            "step 'train': ${dir:compare}: step 'compare' does not come before it",
        ),
        (["plan.steps.train.data=${dir:train}"], "step 'train': ${dir:train} is the step's own"),
        (
            ["plan.steps.eval.slurm.setup=['ls ${dir:train}']"],
            "step 'eval': slurm_args: the folder of a step is not known there",
        ),
        (["+plan.steps.eval.name='x ${dir:train}'"], "name 'x ${dir:train}' has the folder"),
    ],
)
def test_a_folder_that_is_not_there_to_read_is_refused(
    described: Path, words: list[str], message: str
) -> None:
    done = refused(described, *words)
    assert message in done.err
    assert len(done.err.splitlines()) <= 2
    assert refused(described, "-m", "lr=0.1,0.2", *words).err.startswith("planit: error: ")
