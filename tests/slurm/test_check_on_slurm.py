"""``planit check`` on a real Slurm: what it would refuse, or never start."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.app.test_check import plan, project
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
}
ROWS = {
    "time": "slurm.time: time 8-00:00:00 is more than partition batch allows (at most 7-00:00:00)",
    "gpus": "slurm.gpus_per_node: no node of partition batch has 9 GPU(s) (at most ",
    "cpus": "slurm.cpus_per_task: no node of partition batch has 900 CPU(s) (at most ",
    "memory": "slurm.mem_gb: no node of partition batch has 9216000 MiB of memory (at most ",
    "nodes": "slurm.nodes: 9 nodes are more than partition batch has (at most 2)",
    "account": "slurm.account: account 'nobody' is not one that you may charge (known: ",
    "partition": "slurm.partition: Slurm would refuse it: sbatch: invalid partition",
    "cluster": "slurm.cluster: Slurm has no cluster 'gamma' (known: alpha, beta)",
}


@pytest.fixture(scope="module")
def checked(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = project(tmp_path_factory.mktemp("check") / "project")
    plan(folder, f"{{_target_: planit.Parallel, _args_: [{', '.join(STEPS)}]}}", **STEPS)
    done = planit_here("check", cwd=folder)
    assert (done.code, done.err) == (2, "")
    return done


@pytest.mark.parametrize("row", ROWS)
def test_each_limit_is_told_with_the_key_that_is_over_it(checked: Done, row: str) -> None:
    start = f"{row}: plan.steps.{row}.{ROWS[row]}"
    assert [line.startswith(start) for line in checked.out.splitlines()].count(True) == 1, checked


def test_what_only_sbatch_can_tell_is_told_in_its_words(checked: Done) -> None:
    assert "other: plan.steps.other: Slurm would refuse it: sbatch: " in checked.out


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
