"""A step that cannot be started, or puts itself back, touches no other step."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from tests.helpers import files_of
from tests.local.project import Project, chain, ended, parallel, wait_for_lines

STEPS = {"first": {"func": "until", "flag": "go"}, "bad": {}, "behind": {}, "other": {}, "end": {}}
TREE = parallel(chain("first", parallel(chain("bad", "behind"), chain("other", "end"))))


def cause_of(project: Project, name: str) -> str:
    steps = json.loads(project.planit("status", "--json").out)["steps"]
    return next(str(step["cause"]) for step in steps if step["name"] == name)


@pytest.mark.parametrize("kind", ["fork", "spawn", "setup"])
@pytest.mark.parametrize("fault", ["no folder", "no log"])
def test_a_step_without_its_folder_or_log_fails_alone_and_says_why(
    project: Project, kind: str, fault: str
) -> None:
    more = {"slurm": {"setup": ["true"]}} if kind == "setup" else {}
    project.plan({**STEPS, "bad": more}, TREE)
    isolation = "spawn" if kind == "spawn" else "fork"
    process = project.submit(f"backend.isolation={isolation}")
    wait_for_lines(project, "begun", 1)
    if fault == "no folder":
        (project.run_dir() / "steps" / "bad").touch()
    else:
        files_of(project.run_dir(), "bad").log().mkdir()
    (project.folder / "go").touch()
    done = ended(process)
    assert done.code == 1
    assert project.states() == {
        "first": "DONE",
        "bad": "FAILED",
        "behind": "BLOCKED",
        "other": "DONE",
        "end": "DONE",
    }
    why = "File exists" if fault == "no folder" else "Is a directory"
    assert "it could not be started" in cause_of(project, "bad")
    assert why in cause_of(project, "bad")
    assert why in done.out


def test_without_an_interpreter_each_step_fails_and_says_so(
    project: Project, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"  # this environment, but with an interpreter that can be removed
    (venv / "bin").mkdir(parents=True)
    here = Path(sys.prefix)
    shutil.copy(here / "pyvenv.cfg", venv)
    (venv / "lib").symlink_to(here / "lib")
    python = venv / "bin" / "python"
    python.symlink_to(Path(sys.executable).resolve())
    project.plan(STEPS, TREE)
    process = project.submit("backend.isolation=spawn", python=str(python))
    wait_for_lines(project, "begun", 1)
    python.unlink()
    (project.folder / "go").touch()
    assert ended(process).code == 1
    states = project.states()
    assert (states["first"], states["bad"], states["other"]) == ("DONE", "FAILED", "FAILED")
    assert cause_of(project, "bad").endswith("venv/bin/python: No such file or directory")


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_minus_1_without_a_warning_is_a_failure_also_where_a_step_can_save_itself(
    project: Project, isolation: str
) -> None:
    project.plan({"q": {"func": "quits"}}, chain("q"))
    process = project.submit(f"backend.isolation={isolation}")
    done = ended(process, 30)
    assert done.code == 1
    assert project.lines("quits") == ["q"]
    assert project.states() == {"q": "FAILED"}
