"""Packed in plan files, for the branches of a sweep, and in a resume."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit import Chain, Packed, Parallel, RunError, SlurmArgs
from planit.app.config.changes import Changes
from planit.record.run_dir import RunDir
from planit.submit.cancellation import cancel
from planit.submit.resumption import Resume
from tests.helpers import planit_here, write
from tests.memory import MemoryScheduler
from tests.runs import a, begin, end, history, states, submitted

PLAN = """\
# @package _global_
lr: 0.1
plan:
  _target_: planit.Plan
  name: mini
  steps:
    get: {func: os.getcwd, slurm_args: "${cpu}"}
    train: {func: os.stat, slurm_args: "${cpu}", slurm: {cpus_per_task: 1}, path: "${lr}"}
    score: {func: os.stat, slurm_args: "${cpu}", path: "${lr}"}
"""
IN_FILE = """\
  root:
    _target_: planit.Chain
    _args_:
      - get
      - _target_: planit.Packed
        slurm_args: ${cpu}
        slurm: {time: "3:00:00"}
        jobs: 2
        _args_: [{_target_: planit.Parallel, _args_: [train, score]}]
"""
PLAIN = "  root: {_target_: planit.Chain, _args_: [get, train, score]}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "conf/plan/mini.yaml", PLAN + PLAIN)
    write(tmp_path / "conf/plan/packed.yaml", PLAN + IN_FILE)
    return tmp_path


def test_a_plan_file_packs_a_node(project: Path) -> None:
    done = planit_here("plan=packed", cwd=project)
    assert done.code == 0, done.err
    assert done.out.splitlines()[3:6] == [
        "    └── ▣ Packed in 2 jobs [3:00:00]",
        "        └── ⇉ Parallel [1:00:00]",
        "            ├── ● train [01:00:00]",
    ]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("[train, score]}]", "[train]}, score]", "Packed takes one node, not 2"),
        ("        slurm_args: ${cpu}\n", "", "Packed has no slurm_args"),
        ('"3:00:00"', '"0:30:00"', "asks for 01:00:00, and the job that it is packed in for 0:30"),
        ("planit.Parallel, ", "planit.Chain, ", "is not one"),
        ("jobs: 2", "job: 2", "Packed has no 'job'"),
    ],
)
def test_what_is_wrong_in_a_file_is_refused(project: Path, old: str, new: str, why: str) -> None:
    assert old in IN_FILE
    write(project / "conf/plan/packed.yaml", PLAN + IN_FILE.replace(old, new))
    done = planit_here("plan=packed", cwd=project)
    assert done.code == 2
    assert why in done.err
    assert "plan.root._args_[1]" in done.err


def test_the_branches_of_a_sweep_are_packed_without_what_runs_once(project: Path) -> None:
    words = ["sweep.packed={slurm_args: cpu, slurm: {time: '2:00:00'}, jobs: 4}", "lr=range(0,6)"]
    done = planit_here("-m", "plan=mini", *words, cwd=project)
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:5] == [
        "└── ▼ Chain [3:00:00]",
        "    ├── ● get [01:00:00]",
        "    └── ▣ Packed in 4 jobs [2:00:00]",
        "        └── ⇉ 6 branches over lr [2:00:00]",
    ]
    assert (
        "▣ Packed [01:00:00]"
        in planit_here("-m", "plan=mini", "sweep.packed=cpu", "lr=1,2", cwd=project).out
    )


JOB = SlurmArgs(time="2:00:00", partition="batch", cpus_per_task=8)


def times(run: RunDir) -> dict[str, tuple[str, str]]:
    """The wall times of the steps' newest placements, and of the jobs that they are packed in."""
    places = history(run).placements.items()
    return {name: (p.options["time"], (p.packed or {}).get("time", "")) for name, p in places}


def test_a_resume_changes_what_a_packed_job_asks_for(tmp_path: Path) -> None:
    slurm = MemoryScheduler()
    root = Chain(a("x"), Packed(Parallel(a("b"), Chain(a("c"), a("d")), a("e")), JOB, jobs=3))
    run = submitted(slurm, tmp_path, root)
    assert times(run)["c"] == ("1:00:00", "2:00:00")
    assert [str(history(run).placements[name].key) for name in "bcde"] == [
        "2_1", "2_0", "2_0", "2_2",
    ]  # fmt: skip
    for name in ("x", "b", "c"):
        end(run, name)
    slurm.set("1", "COMPLETED")
    slurm.set("2_0", "TIMEOUT")
    slurm.set("2_1", "COMPLETED")
    slurm.set("2_2", "NODE_FAIL")
    assert states(run, slurm) == {
        "x": "DONE", "b": "DONE", "c": "DONE", "d": "CANCELLED", "e": "CANCELLED",
    }  # fmt: skip
    changes = Changes(run.manifest, ["slurm.time=3:00:00"])
    again = Resume(run, slurm, edit=changes).execute()
    assert {one.step for one in again if one.action == "rerun"} == {"d", "e"}
    assert {name: times(run)[name] for name in "de"} == dict.fromkeys("de", ("3:00:00",) * 2)
    assert [str(history(run).placements[name].key) for name in "de"] == ["3_0", "3_1"]


def test_a_step_of_a_packed_job_is_not_cancelled_or_rerun_alone(tmp_path: Path) -> None:
    slurm = MemoryScheduler()
    run = submitted(slurm, tmp_path, Packed(Parallel(a("b"), Chain(a("c"), a("d"))), JOB))
    slurm.set("1", "RUNNING", elapsed_s=None)
    end(run, "b", "failed", "broken")
    begin(run, "c")
    assert states(run, slurm) == {"b": "FAILED", "c": "RUNNING", "d": "PENDING"}
    with pytest.raises(RunError, match="cannot cancel step 'd': it is packed in job 1 with 'c'"):
        cancel(run, slurm, ["d"])
    with pytest.raises(RunError, match="cannot rerun step 'b': it is packed in job 1 with 'c'"):
        Resume(run, slurm).execute()
    assert cancel(run, slurm, ["c"]).steps == ("c", "d")
