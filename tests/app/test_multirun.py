"""Sweeps from the command line, and other sweepers that drive plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import all_below, planit_here, run_planit, write
from tests.sweepers import halving

_PLAN = """\
# @package _global_
lr: 0.1
seed: 0
plan:
  _target_: planit.Plan
  name: mini
  steps:
    get: {func: mini.get, slurm_args: "${cpu}"}
    train: {func: mini.train, slurm_args: "${slurm}", lr: "${lr}", seed: "${seed}"}
    score: {func: mini.score, slurm_args: "${cpu}", lr: "${lr}", seed: "${seed}"}
  root: {_target_: planit.Chain, _args_: [get, train, score]}
"""
_CODE = """\
import sys
from pathlib import Path

def get():
    Path("got").write_text("x")

def train(lr, seed):
    if seed == 13:
        raise ValueError("unlucky")

def score(lr, seed):
    sys.stdout.write(f"score {lr} {seed}" + chr(10))
    return (float(lr) - 0.3) ** 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "conf/plan/mini.yaml", _PLAN)
    write(tmp_path / "mini.py", _CODE)
    return tmp_path


def test_a_multirun_is_one_plan(project: Path) -> None:
    done = planit_here("-m", "plan=mini", "lr=1e-3,1e-4", "seed=0,1", cwd=project)
    assert done.code == 0, done.err
    assert done.out.count("Plan: ") == 1
    assert done.out.count("● get ") == 1
    for branch in ("lr=0.001,seed=0", "lr=0.0001,seed=1"):
        assert f"● score[{branch}]" in done.out
    assert all_below(project) == ["conf", "conf/plan", "conf/plan/mini.yaml", "mini.py"]


@pytest.mark.parametrize("off", ["share=false", "sweep.share=false"])
def test_sharing_can_be_turned_off(project: Path, off: str) -> None:
    done = planit_here("-m", "plan=mini", "seed=0,1", off, cwd=project)
    assert "● get[seed=1]" in done.out


def test_tails_are_joined_on_the_command_line_and_in_the_config(project: Path) -> None:
    write(
        project / "conf/config.yaml",
        "defaults: [{slurm: gpu_a100}, {slurm@cpu: cpu}, {plan: mini}, _self_]\n"
        "sweep: {join: [score]}\n",
    )
    code = _CODE.replace("def score(lr, seed)", "def score(lr=0, seed=0)")
    write(project / "mini.py", code)
    plan = _PLAN.replace(
        'score: {func: mini.score, slurm_args: "${cpu}", lr: "${lr}", seed: "${seed}"}',
        'score: {func: mini.score, slurm_args: "${cpu}"}',
    )
    write(project / "conf/plan/mini.yaml", plan)
    for words in (["seed=0,1"], ["seed=0,1", "sweep.join=[score]"]):
        done = planit_here("-m", *words, cwd=project)
        assert done.code == 0, done.err
        assert "● score [" in done.out
    done = planit_here("-m", "seed=0,1", "sweep.join=[train]", cwd=project)
    assert done.code == 2
    assert "sweep.join" in done.err


def test_groups_and_plans_can_be_swept(project: Path) -> None:
    other = _PLAN.replace("name: mini", "name: other").replace("score, s", "get, s")
    write(project / "conf/plan/other.yaml", other)
    done = planit_here("-m", "plan=mini,other", "slurm=cpu,gpu_a100", cwd=project)
    assert done.code == 0, done.err
    assert "Plan: mini+other" in done.out
    assert "● train[slurm=gpu_a100] [02:00:00]" in done.out
    assert "● train[slurm=cpu] [01:00:00]" in done.out
    assert "● score[plan=other,slurm=cpu] [01:00:00]" in done.out


def test_the_sweep_can_stand_in_the_config(project: Path) -> None:
    write(
        project / "conf/config.yaml",
        "defaults: [{slurm: gpu_a100}, {slurm@cpu: cpu}, {plan: mini}, _self_]\n"
        "hydra: {sweeper: {params: {lr: '1,2', seed: 'range(0,2)'}}}\n",
    )
    done = planit_here("-m", cwd=project)
    assert done.code == 0, done.err
    assert done.out.count("● train[") == 4


def test_a_group_can_be_swept_with_and_without(project: Path) -> None:
    write(project / "conf/experiment/foo.yaml", "# @package _global_\nlr: 0.5\n")
    done = planit_here("-m", "plan=mini", "+experiment=foo,null", cwd=project)
    assert done.code == 0, done.err
    assert "● score[experiment=foo] " in done.out
    assert "● score[experiment=null] " in done.out


def test_a_wrong_swept_value_is_one_clear_line(project: Path) -> None:
    done = planit_here("-m", "plan=mini", "slurm=cpu,gpu_a10", cwd=project)
    assert done.code == 2
    assert done.err.splitlines()[0].startswith("planit: error: unknown SLURM preset 'gpu_a10'")
    assert "Traceback" not in done.err


def test_a_sweep_runs_in_debug(project: Path) -> None:
    done = run_planit("submit", "-m", "plan=mini", "lr=1,2", "backend=debug", cwd=project)
    assert done.code == 0, done.err
    assert sorted(line for line in done.out.splitlines() if line.startswith("score")) == [
        "score 1 0",
        "score 2 0",
    ]


def test_a_sweep_node_takes_hydras_syntax(project: Path) -> None:
    plan = _PLAN.replace(
        'train: {func: mini.train, slurm_args: "${slurm}", lr: "${lr}", seed: "${seed}"}',
        "train:\n      _target_: planit.Sweep\n      func: mini.train\n"
        "      slurm_args: ${slurm}\n      max_concurrent: 2\n"
        '      over: {lr: [1e-3, 2], seed: "range(0,3)"}',
    )
    write(project / "conf/plan/mini.yaml", plan)
    done = planit_here("plan=mini", cwd=project)
    assert done.code == 0, done.err
    assert "⇉ Sweep train over lr, seed, at most 2 at once" in done.out
    assert "● train[lr=0.001,seed=2]" in done.out
    done = planit_here("plan=mini", "plan.steps.train.over.seed=7", cwd=project)
    assert done.code == 2
    assert "plan.steps.train" in done.err


def test_the_launcher_lets_another_sweeper_drive_plans(project: Path) -> None:
    write(project / "plugins/hydra_plugins/halving.py", halving("lr"))
    from tests.helpers import HERE

    done = run_planit(
        "submit", "-m", "plan=mini", "hydra/sweeper=halving", "hydra/launcher=planit",
        "backend=debug", "seed=1", cwd=project,
        env={"PYTHONPATH": f"{HERE}:{project / 'plugins'}"},
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "best 0.35 of 4" in done.out


def test_another_sweeper_reads_plain_values_from_the_record(project: Path) -> None:
    """A tuple is a list there, which shows where the value comes from; a set is unpickled."""
    from tests.helpers import HERE

    shows = "print([one.return_value for one in done])\n            values.update("
    sweeper = halving("lr").replace("values.update(", shows)
    sweeper = sweeper.replace(": one.return_value", ": max(one.return_value)")
    write(project / "plugins/hydra_plugins/halving.py", sweeper)
    returns = "return {lr} if float(lr) == 0.9 else ((float(lr) - 0.3) ** 2,)"
    write(project / "mini.py", _CODE.replace("return (float(lr) - 0.3) ** 2", returns))
    done = run_planit(
        "submit", "-m", "plan=mini", "hydra/sweeper=halving", "hydra/launcher=planit",
        "backend=local", "backend.cpus=18", "backend.gpus=1", "seed=1", cwd=project,
        env={"PYTHONPATH": f"{HERE}:{project / 'plugins'}"},
    )  # fmt: skip
    assert done.code == 0, done.err
    first, second = (line for line in done.out.splitlines() if line.startswith("["))
    assert first == f"[[{(0.1 - 0.3) ** 2}], {{0.9}}]"
    assert second.startswith("[[0.0")
    shown = planit_here("results", "--csv", cwd=project)
    assert [line.rpartition(",")[0] for line in shown.out.splitlines()] == [
        "step,lr,state,result",
        f"score[lr=0.2],0.2,DONE,[{(0.2 - 0.3) ** 2}]",
        f"score[lr=0.35],0.35,DONE,[{(0.35 - 0.3) ** 2}]",
    ]


def test_a_failed_branch_fails_the_other_sweepers_run(project: Path) -> None:
    words = ("plan=mini", "hydra/launcher=planit", "backend=debug", "seed=12,13")
    done = run_planit("submit", "-m", *words, cwd=project)
    assert done.code != 0
    assert "unlucky" in done.err


def test_the_objective_is_a_step_of_choice(project: Path) -> None:
    words = ("plan=mini", "hydra/launcher=planit", "backend=debug", "seed=1,2")
    done = run_planit("submit", "-m", *words, "hydra.launcher.objective=scor", cwd=project)
    assert done.code == 2
    assert "no step 'scor'" in done.err
    assert "score" in done.err
