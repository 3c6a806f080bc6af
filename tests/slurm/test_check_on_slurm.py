"""``planit check`` on a real Slurm: what it would refuse, or never start."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.app.test_check import plan, project, rows_of, shown
from tests.cluster import Cluster
from tests.helpers import Done, planit_here
from tests.slurm.tools import slurm_says

STEP = "func: check_mine.train, lr: 1, slurm"
STEPS = {
    "time": f"{STEP}: {{time: '8-00:00:00'}}",
    "gpus": f"{STEP}: {{gpus_per_node: 9}}",
    "cpus": f"{STEP}: {{cpus_per_task: 900}}",
    "memory": f"{STEP}: {{mem_gb: 9000}}",
    "nodes": f"{STEP}: {{nodes: 9}}",
    "account": f"{STEP}: {{account: nobody}}",
    "partition": f"{STEP}: {{partition: bacth}}",
    "cluster": f"{STEP}: {{cluster: gamma}}",
    "other": f"{STEP}: {{additional_params: {{constraint: none_such}}}}",
    "fine": f"{STEP}: {{time: '6'}}",
    "unmade": f"{STEP}: {{time: soon}}",  # of which Slurm is not asked
}
ROWS = rows_of("Where there is Slurm")


@pytest.fixture(scope="module")
def checked(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = project(tmp_path_factory.mktemp("check") / "project")
    plan(folder, f"{{_target_: planit.Parallel, _args_: [{', '.join(STEPS)}]}}", **STEPS)
    done = planit_here("check", cwd=folder)
    assert (done.code, done.err) == (2, "")
    return done


@pytest.mark.parametrize("row", ROWS)
def test_each_limit_is_told_with_the_key_that_is_over_it(checked: Done, row: str) -> None:
    assert shown(row, checked.out.splitlines()) == 1, checked.out


def test_nothing_else_is_told(checked: Done) -> None:
    assert f"{len(ROWS) + 1} problem(s); {len(STEPS)} step(s) checked" in checked.out.splitlines()


def test_the_start_that_slurm_estimates_is_shown_as_that(checked: Done) -> None:
    found = re.findall(r"(?m)^(\w+): could start at (\S+), as Slurm estimates$", checked.out)
    assert [step for step, _ in found] == ["fine"]


def test_nothing_is_in_the_queue(checked: Done) -> None:
    assert slurm_says("squeue", "-h", "-t", "all", "-o", "%j").count("check/") == 0


def test_a_large_plan_costs_a_few_questions(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = project(tmp_path / "project")
    plan(
        folder,
        "{_target_: planit.Chain, _args_: [a, b]}",
        a="func: check_mine.train, lr: '${lr}'",
        b="func: check_mine.train, lr: '${lr}', slurm: {time: '6'}",
    )
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sbatch", "scontrol", "sacctmgr", "squeue", "sinfo", "sacct"):
        real = shutil.which(name)
        (tools / name).write_text(f'#!/bin/sh\necho {name} >> {tmp_path}/calls\nexec {real} "$@"\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    done = planit_here("check", "-m", "lr=range(0,1500)", cwd=folder)
    assert (done.code, done.err) == (0, "")
    calls = (tmp_path / "calls").read_text().split()
    assert calls.count("sbatch") == 2
    assert len(calls) - 2 <= 5
