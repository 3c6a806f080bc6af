"""A newcomer with a Hydra project: from the wheel to a sweep's table, with one new file.

The commands are all that is typed, in their order.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from planit import Run
from tests.helpers import ROOT, Done, write
from tests.slurm.tools import settled
from tests.wheel import Installed

PLAN = """\
# @package _global_
lr: 0.1
size: 64
plan:
  _target_: planit.Plan
  name: study
  steps:
    train:
      _target_: planit.HydraApp
      script: train.py
      overrides: ["optimizer.lr=${lr}", "model.width=${size}"]
      slurm_args: ${cpu}
    compare:
      _target_: planit.Command
      command: planit current > $PLANIT_STEP_DIR/branches.txt
      slurm_args: ${cpu}
  root: {_target_: planit.Chain, _args_: [train, compare]}
"""
LIGHT = "cpu.time=0:05:00 cpu.cpus_per_task=1"
COMMANDS = [
    "planit plan=study",
    f"planit submit plan=study {LIGHT}",
    "planit wait",
    "planit results",
    f"planit submit -m plan=study lr=0.1,0.2,0.3 size=16,32,64,128 sweep.join=[compare] {LIGHT}",
    "planit wait",
    "planit status",
    "planit results train --sort result",
]


def typed(installed: Installed, project: Path) -> list[Done]:
    """What the commands left."""
    return [installed.run(*command.split(), cwd=project) for command in COMMANDS]


@pytest.mark.parametrize("here", [True, pytest.param(False, marks=pytest.mark.slurm)])
def test_from_the_wheel_to_the_table_of_a_sweep(
    here: bool,
    installed: Installed,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = [str(installed.environment / "bin"), "/usr/bin", "/bin"]
    if here:
        tools = tmp_path / "tools"  # a machine without Slurm
        tools.mkdir()
        for tool in Path("/usr/bin").iterdir():
            if not tool.name.startswith("s"):
                (tools / tool.name).symlink_to(tool)
        path[1:] = [str(tools)]
    else:
        request.getfixturevalue("slurm")
    monkeypatch.setenv("PATH", ":".join(path))
    project = tmp_path / "project"
    shutil.copytree(ROOT / "tests/project", project)
    write(project / "conf/plan/study.yaml", PLAN)
    shown, first, _, one, sweep, _, status, table = done = typed(installed, project)
    for command, left in zip(COMMANDS, done, strict=True):
        assert left.code == 0, (command, left)
    assert "● train [01:00:00]" in shown.out
    assert "2 step(s) as 2 job(s)" in first.out
    assert "2 done" in one.out
    assert "13 step(s) as 2 job(s)" in sweep.out
    assert "13 done" in status.out
    rows = table.out.splitlines()[2:]
    assert len(rows) == 12
    assert rows[0].split()[:2] == ["0.1", "128"], "the best learning rate, and the largest model"
    run = Run.open(base=project / "planit_runs")
    assert settled(run)["compare"] == "DONE"
    (told,) = run.path.glob("steps/compare/branches.txt")
    assert told.read_text().count("parent   train[lr=") == 12
