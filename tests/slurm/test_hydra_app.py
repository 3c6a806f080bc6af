"""An existing Hydra program as a step, on the real Slurm."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from planit import Run
from tests.cluster import Cluster
from tests.helpers import ROOT, run_planit, write
from tests.slurm.tools import settled

PLAN = """\
# @package _global_
lr: 0.3
args: {_target_: planit.SlurmArgs, time: '5', partition: batch}
plan:
  _target_: planit.Plan
  name: p
  steps:
    gate:
      _target_: planit.Command
      command: until test -e go; do sleep 0.1; done
      slurm_args: ${args}
    script:
      _target_: planit.HydraApp
      script: train.py
      overrides: [model=cnn, "optimizer.lr=${lr}"]
      slurm_args: ${args}
    app:
      _target_: planit.HydraApp
      app: train.main
      overrides: [+experiment=long, "optimizer.lr=${lr}", hydra.job.chdir=true]
      slurm_args: ${args}
  root: {_target_: planit.Chain, _args_: [gate, script, app]}
"""


def test_branches_run_what_was_composed_at_submission(slurm: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    shutil.copytree(ROOT / "tests/project", folder)
    write(folder / "conf/planit.yaml", "defaults: [plan: p, backend: slurm, _self_]\n")
    write(folder / "conf/plan/p.yaml", PLAN)
    done = run_planit("submit", "-m", "lr=0.2,0.4", cwd=folder)
    assert done.code == 0, done
    shutil.rmtree(folder / "conf")
    write(folder / "train.py", "raise SystemError('edited')")
    write(folder / "go", "")
    run = Run.open(base=folder / "planit_runs")
    assert set(settled(run).values()) == {"DONE"}
    status = {step.name: str(step.job) for step in run.status().steps}
    outputs = sorted((run.path / "steps").glob("*/.hydra"))
    assert len(outputs) == 4
    found = set()
    for output in outputs:
        config = yaml.unsafe_load((output / "config.yaml").read_text())
        hydra = yaml.unsafe_load((output / "hydra.yaml").read_text())["hydra"]
        lr = config["optimizer"]["lr"]
        step = "script" if config["model"]["name"] == "cnn" and config["epochs"] == 2 else "app"
        assert hydra["job"]["id"] == status[f"{step}[lr={lr}]"]
        assert hydra["runtime"]["output_dir"] == str(output.parent)
        loss = json.loads((output.parent / "score.json").read_text())["loss"]
        assert "INFO] - loss " in (output.parent / "train.log").read_text()
        found.add((step, hydra["job"]["num"], lr, loss > 0))
    assert found == {
        (step, *one, True) for step in ("script", "app") for one in ((0, 0.2), (1, 0.4))
    }
