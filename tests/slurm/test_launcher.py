"""Ordinary Hydra programs with ``hydra/launcher=planit`` on the real Slurm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from hydra.test_utils.launcher_common_tests import LauncherTestSuite

from planit import Run
from tests.cluster import Cluster
from tests.helpers import write
from tests.launcher.hydras_own import (
    as_in_a_new_process,
    hydra_restore_singletons,
    hydra_sweep_runner,
)
from tests.launcher.programs import BROKEN, FIXED, only_run, outputs, project, train
from tests.slurm.tools import in_queue, lines, planit, settled, states, status_json, wrapped

__all__ = ["as_in_a_new_process", "hydra_restore_singletons", "hydra_sweep_runner"]

SLURM = ("hydra/launcher=planit", "hydra.launcher.time=00:05:00", "hydra.launcher.partition=batch")


@pytest.fixture(autouse=True)
def _runs_are_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANIT_RUNS_DIR", str(tmp_path / "runs"))


@pytest.mark.usefixtures("slurm")
@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("planit", ["hydra.launcher.backend=slurm", "hydra.launcher.freeze=off"])],
)
class TestLauncher(LauncherTestSuite):
    """Hydra's own tests."""


def test_a_sweep_is_one_array_and_the_program_sees_slurms_ids(
    slurm: Cluster, tmp_path: Path
) -> None:
    folder = project(tmp_path)
    with wrapped(tmp_path / "bin", ["sbatch"]) as calls:
        done = train(folder, *SLURM, "optimizer.lr=0.1,0.2,0.3", "hydra.launcher.max_concurrent=2")
        assert len(lines(calls)) == 1
    assert done.code == 0, done.err
    run = Run(only_run(folder))
    assert set(states(run).values()) == {"DONE"}
    job = run.status().step("train-2").job
    hydra = yaml.safe_load((outputs(folder) / "2/.hydra/hydra.yaml").read_text())["hydra"]
    assert (hydra["job"]["id"], hydra["job"]["num"]) == (job, 2)
    shown = status_json(folder / "planit_runs")
    assert [step["name"] for step in shown["steps"]] == ["train-0", "train-1", "train-2"]
    assert "[INFO] - loss" in planit(folder / "planit_runs", "logs", "train-1").out


def test_what_was_not_waited_for_can_be_cancelled_and_resumed(
    slurm: Cluster, tmp_path: Path
) -> None:
    folder = project(tmp_path)
    runs = folder / "planit_runs"
    later = "+hydra.launcher.additional_params.begin=now+1hour"
    done = train(folder, *SLURM, later, "hydra.launcher.wait=false", "optimizer.lr=0.1,0.2")
    assert done.code == 0, done.err
    run = Run(only_run(folder))
    assert f"Run {run.run_id}, job(s)" in done.out
    assert len(in_queue(run)) == 1
    assert planit(runs, "cancel").code == 0
    assert set(settled(run).values()) == {"CANCELLED"}
    assert planit(runs, "resume", "~slurm.additional_params").code == 0
    assert set(settled(run).values()) == {"DONE"}
    assert json.loads((outputs(folder) / "1/score.json").read_text())["model"] == "bert"


def test_a_failed_job_fails_the_sweep_and_the_others_end(slurm: Cluster, tmp_path: Path) -> None:
    folder = project(tmp_path)
    write(folder / "vision/model.py", BROKEN)
    done = train(folder, *SLURM, "model.width=8,13")
    assert done.code == 1
    assert "unlucky" in done.err
    run = Run(only_run(folder))
    assert states(run) == {"train-0": "DONE", "train-1": "FAILED"}
    write(folder / "vision/model.py", FIXED)
    assert planit(folder / "planit_runs", "resume").code == 0
    assert set(settled(run).values()) == {"DONE"}


def test_what_slurm_refuses_is_one_line(slurm: Cluster, tmp_path: Path) -> None:
    folder = project(tmp_path)
    done = train(folder, *SLURM, "hydra.launcher.partition=nope", "optimizer.lr=0.1,0.2")
    assert done.code == 1
    (told,) = [line for line in done.err.splitlines() if line.startswith("planit: error: ")]
    assert "nope" in told
    assert "Traceback" not in done.err
