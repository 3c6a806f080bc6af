"""Which backend runs a plan, and what it refuses before anything is written."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.local.project import Project, chain, parallel


def test_where_there_is_no_sbatch_a_plan_runs_here_and_planit_says_so(project: Project) -> None:
    project.plan({"a": {}, "b": {}}, chain("a", "b"))
    done = project.planit("submit", "plan=p", env={"PATH": str(Path(sys.executable).parent)})
    assert done.code == 0, done
    assert "No sbatch on PATH: running on this machine (backend=local)" in done.err
    assert project.lines("ran") == ["a", "b"]
    assert project.states() == {"a": "DONE", "b": "DONE"}


@pytest.mark.parametrize(
    ("asks", "words", "says"),
    [
        ({"cpus_per_task": 99}, ["backend.cpus=4"], "backend.cpus=99"),
        ({"gpus_per_node": 3}, ["backend.gpus=2"], "backend.gpus=3"),
        ({"mem_gb": 64}, ["backend.mem_gb=2"], "backend.mem_gb=64"),
        ({"nodes": 2}, [], "set nodes to 1"),
        ({"tasks_per_node": 2}, [], "set tasks_per_node to 1"),
        ({"container": {"image": "x", "runtime": "pyxis"}}, [], "container.runtime: apptainer"),
        ({"setup": ["fi"]}, [], "setup line 1: syntax error near unexpected token"),
        ({}, ["backend.isolation=frok"], "fork"),
        ({}, ["backend.cpus=none"], "backend.cpus must be a number"),
        ({}, ["backend.kill_wait_s=-1"], "backend.kill_wait_s must be a number"),
    ],
)
def test_what_can_never_run_here_is_refused_with_the_fix_and_nothing_is_written(
    project: Project, asks: dict[str, Any], words: list[str], says: str
) -> None:
    project.plan({"first": {}, "big one": {"slurm": asks}}, parallel("first", "big one"))
    done = project.planit("submit", "plan=p", "backend=local", *words)
    assert done.code == 2, done
    assert says in done.err
    assert ("'big one'" in done.err) == bool(asks)
    assert "Traceback" not in done.err
    assert not (project.folder / "planit_runs").exists()


def test_the_fix_is_for_all_steps_and_the_error_is_the_first_line(project: Project) -> None:
    steps = {
        "a": {"slurm": {"cpus_per_task": 4}},
        "b": {"slurm": {"cpus_per_task": 9, "gpus_per_node": 1}},
        "c": {"slurm": {"cpus_per_task": 6, "mem_gb": 64}},
    }
    project.plan(steps, chain(*steps))
    env = {"PATH": str(Path(sys.executable).parent)}
    words = ["backend.cpus=2", "backend.gpus=0", "backend.mem_gb=8"]
    done = project.planit("submit", "plan=p", *words, env=env)
    assert done.code == 2
    assert done.err.startswith("planit: error: step 'a' asks for 4 CPUs (there are 2)")
    fix = "backend.cpus=9 backend.gpus=1 backend.mem_gb=64"
    assert fix in done.err
    done = project.planit("submit", "plan=p", *fix.split(), env=env)
    assert (done.code, done.err.count("No sbatch on PATH")) == (0, 1)


def test_a_resume_that_asks_for_too_much_is_refused_and_changes_nothing(project: Project) -> None:
    project.plan({"ok": {}, "bad": {"func": "fail"}}, chain("ok", "bad"))
    assert project.planit("submit", "plan=p", "backend=local", "backend.cpus=2").code == 1
    done = project.planit("resume", "plan.steps.bad.slurm.cpus_per_task=50")
    assert done.code != 0
    assert "asks for 50 CPUs (there are 2)" in done.err
    assert project.states() == {"ok": "DONE", "bad": "FAILED"}
    wide = ["plan.steps.bad.slurm.cpus_per_task=50", "backend.cpus=50"]
    assert project.planit("resume", *wide).code == 1
    refused = project.planit("resume", "backend.cpu=50")
    assert (refused.code, "backend.cpu is not a setting" in refused.err) == (2, True)
    refused = project.planit("resume", "backend.kill_wait_s=null")
    assert (refused.code, "kill_wait_s must be a number" in refused.err) == (2, True)
    assert project.planit("resume").code == 1
    assert project.lines("ran") == ["ok"]
