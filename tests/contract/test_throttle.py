"""``sweep.max_concurrent``: at most so many branches are under way, from first step to last."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit import Run
from tests.helpers import run_planit, write
from tests.slurm.tools import settled

PLAN = """\
# @package _global_
lr: 0
plan:
  _target_: planit.Plan
  name: few
  steps:
    train: {_target_: planit.Command, command: "echo begin ${lr} >> log; sleep 0.2", slurm_args: &a
      {_target_: planit.SlurmArgs, time: '5', partition: batch, cpus_per_task: 1}}
    eval: {_target_: planit.Command, slurm_args: *a,
      command: "test ${lr} != 1 && sleep 0.2; echo end ${lr} >> log; test ${lr} != 2"}
  root: {_target_: planit.Chain, _args_: [train, eval]}
"""


@pytest.mark.parametrize("backend", ["local", pytest.param("slurm", marks=pytest.mark.slurm)])
def test_at_most_so_many_branches_are_under_way(
    backend: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if backend == "slurm":
        request.getfixturevalue("slurm")
    write(tmp_path / "conf/plan/few.yaml", PLAN)
    words = ["plan=few", "lr=0,1,2,3,4", "sweep.max_concurrent=2", f"backend={backend}"]
    words += ["+backend.cpus=8"] if backend == "local" else []
    done = run_planit("submit", "-m", *words, cwd=tmp_path)
    run = Run.open(base=tmp_path / "planit_runs")
    states = settled(run, 120)
    assert states.pop("eval[lr=2]") == "FAILED", done
    assert set(states.values()) == {"DONE"}, "a branch that fails makes room like any other"
    under_way: set[str] = set()
    most = 0
    for line in (tmp_path / "log").read_text().splitlines():
        what, branch = line.split()
        (under_way.add if what == "begin" else under_way.remove)(branch)
        most = max(most, len(under_way))
    assert most == 2
    assert not under_way
