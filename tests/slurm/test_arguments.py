"""Arguments with a ``_target_`` are built in the job, on the real Slurm too."""

from __future__ import annotations

import json
from pathlib import Path

from planit import Run
from tests.cluster import Cluster
from tests.helpers import run_planit, write
from tests.slurm.tools import lines, settled

SHOP = """\
import os

def add(path, text):
    with open(path, "a") as file:
        file.write(f"{text}\\n")

class Model:
    def __init__(self, size):
        self.size = size
        add("built", f"{size} {os.environ.get('SLURM_JOB_ID')}")

def train(model, rate):
    add("trained", f"{model.size} {rate.size}")

def fail_once(model):
    if not os.path.exists("again"):
        open("again", "w").close()
        raise ValueError(model.size)
    add("trained", model.size)
"""


def test_every_task_of_an_array_builds_its_own_arguments_and_a_resume_builds_them_again(
    slurm: Cluster, tmp_path: Path
) -> None:
    args = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
    models = [{"_target_": "shop.Model", "size": size} for size in range(5)]
    steps = {
        "once": {"func": "shop.fail_once", "slurm_args": args, "model": models[4]},
        "train": {
            "_target_": "planit.Sweep",
            "func": "shop.train",
            "slurm_args": args,
            "model": models[3],
            "over": {"rate": models[:3]},
        },
    }
    root = {"_target_": "planit.Chain", "_args_": ["once", "train"]}
    plan = {"_target_": "planit.Plan", "name": "p", "steps": steps, "root": root}
    write(tmp_path / "conf/plan/p.yaml", json.dumps(plan))
    write(tmp_path / "shop.py", SHOP)
    done = run_planit("submit", "plan=p", "backend=slurm", cwd=tmp_path)
    assert done.code == 0, done
    run = Run.open(base=tmp_path / "planit_runs")
    assert settled(run)["once"] == "FAILED"
    done = run_planit("resume", cwd=tmp_path)
    assert done.code == 0, done
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(tmp_path / "trained")) == ["3 0", "3 1", "3 2", "4"]
    rows = [line.split() for line in lines(tmp_path / "built")]
    assert sorted(size for size, _ in rows) == ["0", "1", "2", "3", "3", "3", "4", "4"]
    assert "None" not in [job for _, job in rows]
