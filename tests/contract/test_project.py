"""An ordinary Hydra project with planit from the wheel: every way in, on every backend."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from planit import Run
from tests.helpers import ROOT, Done, write
from tests.slurm.tools import settled
from tests.wheel import Installed

ARGS = "{_target_: planit.SlurmArgs, time: '5', partition: batch, cpus_per_task: 1}"
PLAN = f"""\
# @package _global_
lr: 0.1
settings: {{lr: "${{lr}}", layers: [1, 2]}}
plan:
  _target_: planit.Plan
  name: study
  steps:
    script:
      _target_: planit.HydraApp
      script: train.py
      overrides: [model=cnn, "optimizer.lr=${{lr}}", +experiment=long]
      slurm_args: {ARGS}
    app:
      _target_: planit.HydraApp
      app: train.main
      overrides: ["optimizer.lr=${{lr}}"]
      slurm_args: {ARGS}
    function:
      _target_: vision.study.fit
      settings: ${{settings}}
      model: {{_target_: vision.model.Model, name: small, width: 2}}
      number: ${{hydra:job.num}}
      out: ${{hydra:runtime.output_dir}}
      slurm_args: {ARGS}
  root:
    _target_: planit.Chain
    _args_: [{{_target_: planit.Parallel, _args_: [script, app]}}, function]
"""
STUDY = """\
import json
from pathlib import Path

from omegaconf import DictConfig


def fit(settings, model, number, out):
    assert isinstance(settings, DictConfig)
    found = [settings.lr, list(settings.layers), model.name, number]
    Path(out, "found.json").write_text(json.dumps(found))
"""
BACKENDS = ["debug", "local", pytest.param("slurm", marks=pytest.mark.slurm)]


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if name == "slurm":
        request.getfixturevalue("slurm")
    return name


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project, with a plan and a function for it."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/project", folder)
    write(folder / "conf/planit.yaml", "defaults: [{backend: auto}, {plan: study}, _self_]\n")
    write(folder / "conf/plan/study.yaml", PLAN)
    write(folder / "vision/study.py", STUDY)
    return folder


def ended(done: Done, backend: str, runs: Path) -> Done:
    """It worked, and on Slurm, where it only queues, all is done."""
    assert done.code == 0, done
    if backend == "slurm":
        assert set(settled(Run.open(base=runs)).values()) == {"DONE"}
    return done


def found(folder: Path, name: str) -> list[Any]:
    paths = sorted(folder.glob(f"**/{name}"))
    return [json.loads(path.read_text()) for path in paths]


def test_a_plan_over_a_program_and_functions_sweeps(
    installed: Installed, project: Path, backend: str
) -> None:
    words = ("submit", "-m", "lr=0.1,0.2", f"backend={backend}")
    done = installed.run("planit", *words, cwd=project)
    runs = project / "planit_runs"
    ended(done, backend, runs)
    scores = found(runs, "score.json")
    assert sorted(score["model"] for score in scores) == ["bert", "bert", "cnn", "cnn"]
    assert sorted(found(runs, "found.json")) == [
        [0.1, [1, 2], "small", 0],
        [0.2, [1, 2], "small", 1],
    ]
    configs = [yaml.unsafe_load(p.read_text()) for p in runs.glob("**/.hydra/config.yaml")]
    assert sorted(config["optimizer"]["lr"] for config in configs) == [0.1, 0.1, 0.2, 0.2]
    assert sorted(config["epochs"] for config in configs) == [2, 2, 20, 20]


def test_the_program_is_launched_by_itself(
    installed: Installed, project: Path, backend: str
) -> None:
    settings = (f"backend={backend}", "time='5'", "partition=batch", "cpus_per_task=1")
    words = (f"hydra.launcher.{one}" for one in settings)
    sweep = ("model=bert,cnn", "optimizer.lr=0.1,0.2", "hydra.sweep.dir=swept")
    done = installed.run(
        "python", "train.py", "-m", "hydra/launcher=planit", *words, *sweep, cwd=project
    )
    ended(done, backend, project / "planit_runs")
    assert len(found(project, "swept/*/score.json")) == 4
    assert (project / "swept/multirun.yaml").is_file()
