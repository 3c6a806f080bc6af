"""Other processes look at a run, and end parts of it, while it goes on."""

from __future__ import annotations

import os
import time

from planit import Run
from tests.local.project import Project, chain, ended, parallel, wait_for_lines
from tests.slurm.tools import until


def test_status_logs_and_cancel_from_another_process(project: Project) -> None:
    steps = {
        "long": {"func": "until", "flag": "never"},
        "tail": {},
        "other": {"func": "until", "flag": "go"},
        "end": {},
    }
    project.plan(steps, parallel(chain("long", "tail"), chain("other", "end")))
    process = project.submit("backend.cpus=4")
    wait_for_lines(project, "begun", 2)
    assert project.states() == {
        "long": "RUNNING",
        "tail": "PENDING",
        "other": "RUNNING",
        "end": "PENDING",
    }
    assert "waiting for a file" in project.planit("logs", "other").out
    refused = project.planit("resume", "--from", "tail")
    assert refused.code != 0
    assert "still going on here" in refused.err
    assert "planit wait" in refused.err
    assert project.planit("cancel", "long").code == 0
    assert project.states()["long"] == "CANCELLED"
    (project.folder / "go").touch()
    done = ended(process)
    assert done.code == 1
    assert project.states() == {
        "long": "CANCELLED",
        "tail": "CANCELLED",
        "other": "DONE",
        "end": "DONE",
    }
    (project.folder / "never").touch()
    assert project.planit("resume").code == 0
    assert sorted(project.lines("ran")) == ["end", "long", "other", "tail"]
    project.nothing_left()


def test_planit_runs_shows_what_runs_here_and_does_not_ask_slurm_about_it(
    project: Project,
) -> None:
    project.plan({"a": {"func": "until", "flag": "go"}, "b": {}}, chain("a", "b"))
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    squeue = project.folder / "bin" / "squeue"
    squeue.parent.mkdir()
    squeue.write_text(f"#!/bin/sh\ntouch {project.folder}/asked\nexit 1\n")
    squeue.chmod(0o755)
    path = f"{squeue.parent}{os.pathsep}{os.environ['PATH']}"
    shown = project.planit("runs", env={"PATH": path}).out
    assert shown == f"{project.run_dir().name}  p  1 running, 1 pending\n"
    assert not (project.folder / "asked").exists()
    (project.folder / "go").touch()
    assert ended(process).code == 0
    assert project.planit("runs").out.endswith("  p  2 done\n")


def test_a_resume_has_the_settings_that_the_run_was_submitted_with(project: Project) -> None:
    steps = {"bad": {"func": "fail"}}
    project.plan(steps, chain("bad"))
    words = ["backend.cpus=3", "backend.kill_wait_s=2", "backend.isolation=spawn"]
    assert project.planit("submit", "plan=p", "backend=local", *words).code == 1
    assert project.planit("resume", "backend.gpus=0").code == 1
    assert project.planit("resume").code == 1
    run = Run(project.run_dir())
    found = run.backend.settings()
    assert {key: found[key] for key in ("cpus", "gpus", "kill_wait_s", "isolation")} == {
        "cpus": 3, "gpus": 0, "kill_wait_s": 2, "isolation": "spawn",
    }  # fmt: skip
    refused = project.planit("resume", "backend.kill_on_invalid_dep=true")
    assert (refused.code, "is not a setting of backend=local" in refused.err) == (2, True)


def test_a_detached_run_goes_on_when_planit_has_ended(project: Project) -> None:
    project.plan({"a": {"func": "until", "flag": "go"}, "b": {}}, chain("a", "b"))
    done = project.planit("submit", "plan=p", "backend=local", "--detach")
    assert done.code == 0
    until(lambda: project.states()["a"] == "RUNNING")
    assert project.states() == {"a": "RUNNING", "b": "PENDING"}
    (project.folder / "go").touch()
    assert project.planit("wait").code == 0
    assert project.lines("ran") == ["a", "b"]
    project.nothing_left()


def test_two_runs_at_once_keep_apart(project: Project) -> None:
    project.plan({"a": {"func": "until", "flag": "go_a", "path": "begun_a"}}, chain("a"), name="p")
    project.plan({"b": {"func": "until", "flag": "go_b", "path": "begun_b"}}, chain("b"), name="q")
    one, two = project.submit(name="p"), project.submit(name="q")
    wait_for_lines(project, "begun_a", 1)
    wait_for_lines(project, "begun_b", 1)
    (project.folder / "go_a").touch()
    assert ended(one).code == 0
    time.sleep(0.5)  # whoever cleans up after one must not touch the other
    assert project.states("q") == {"b": "RUNNING"}
    (project.folder / "go_b").touch()
    assert ended(two).code == 0
    project.nothing_left()


def test_wall_time_ends_a_step_politely_then_by_force_and_requeues_what_saves_itself(
    project: Project,
) -> None:
    short = {"time": "0:03"}
    steps = {
        "polite": {"func": "saves_on_sigterm", "slurm": short},
        "behind": {},
        "deaf": {"func": "deaf", "slurm": short},
        "saves": {"func": "counter", "slurm": {"time": "0:06", "max_requeues": 2}},
        "after": {},
    }
    project.plan(steps, parallel(chain("polite", "behind"), "deaf", chain("saves", "after")))
    started = time.monotonic()
    done = ended(project.submit("backend.cpus=4", "backend.kill_wait_s=4"))
    assert 7 < time.monotonic() - started < 20
    assert done.code == 1
    assert project.states() == {
        "polite": "TIMEOUT",
        "behind": "BLOCKED",
        "deaf": "TIMEOUT",
        "saves": "DONE",
        "after": "DONE",
    }
    assert project.lines("cleaned") == ["polite"]
    assert project.lines("attempts") == ["1", "2"]
    assert "exceeded the time limit" in done.out
    assert until(lambda: project.lines("ran")) == ["after"]
    project.nothing_left()
