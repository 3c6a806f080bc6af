"""A step's process is like any other, and none of them leaves a trace in the next."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.helpers import run_python
from tests.local.project import Project, chain, ended, parallel, wait_for_lines

DRAW = """
import random
from numpy import random as numpy_random

def draw():
    add("drawn", json.dumps([random.random(), float(numpy_random.random())]))
"""


def test_forked_steps_draw_different_random_numbers(project: Project) -> None:
    module = project.folder / "work.py"
    module.write_text(f"{module.read_text()}\n{DRAW}")
    steps = {f"s{i}": {"func": "draw"} for i in range(6)}
    project.plan(steps, parallel(*steps))
    assert project.planit("submit", "plan=p", "backend=local").code == 0
    rows = [json.loads(line) for line in project.lines("drawn")]
    for column in zip(*rows, strict=True):
        assert len(set(column)) == len(steps), column


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_code_edited_after_submission_changes_no_step_that_waits(
    project: Project, isolation: str
) -> None:
    steps = {
        "first": {"func": "until", "flag": "go"},
        "second": {"func": "remember"},
        "third": {"func": "remember"},
    }
    project.plan(steps, chain("first", "second", "third"))
    process = project.submit(f"backend.isolation={isolation}")
    wait_for_lines(project, "begun", 1)
    module = project.folder / "work.py"
    module.write_text(module.read_text().replace("as submitted", "edited"))
    (project.folder / "go").touch()
    done = ended(process)
    assert done.code == 0, done
    rows = [json.loads(line) for line in project.lines("remembered")]
    assert [row[:2] for row in rows] == [[1, "as submitted"]] * 2
    assert rows[0][2] != rows[1][2]
    assert rows[0][3] == rows[1][3]  # both are the engine's children


def test_a_module_that_starts_threads_is_imported_anew_by_every_step(project: Project) -> None:
    module = project.folder / "work.py"
    thread = "threading.Thread(target=time.sleep, args=(600,), daemon=True, name='busy').start()"
    module.write_text(f"{module.read_text()}\n{thread}\n")
    project.plan(
        {"a": {"func": "names_of_threads"}, "b": {"func": "names_of_threads"}}, chain("a", "b")
    )
    assert project.planit("submit", "plan=p", "backend=local").code == 0
    assert ["busy" in line for line in project.lines("threads")] == [True, True]


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_a_step_starts_and_ends_as_any_process_does(project: Project, isolation: str) -> None:
    project.plan({"s": {"func": "like_any_process"}}, chain("s"))
    done = project.planit("submit", "plan=p", "backend=local", f"backend.isolation={isolation}")
    assert done.code == 0, done
    assert project.lines("stdin") == ["''"]
    assert project.lines("ran") == []
    noted = ["broken pipe", "interrupt", "thread", "atexit"]
    assert [line for name in noted for line in project.lines(name)] == ["s"] * 4


def test_a_run_whose_folder_was_moved_can_be_read(project: Project) -> None:
    project.plan({"s": {}}, chain("s"))
    assert project.planit("submit", "plan=p", "backend=local").code == 0
    shutil.move(project.run_dir().parent.parent, project.folder / "moved")
    assert project.states("--runs-dir", "moved") == {"s": "DONE"}


def test_a_run_is_resumed_from_any_folder(project: Project, tmp_path: Path) -> None:
    project.plan({"s": {"func": "fail_once", "path": str(project.folder / "tried")}}, chain("s"))
    assert project.planit("submit", "plan=p", "backend=local").code == 1
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    words = ["-P", "-m", "planit", "resume", str(project.run_dir())]  # -P as the console script
    done = run_python(*words, cwd=elsewhere)
    assert done.code == 0, done
    assert project.lines("tried") == ["s", "s"]
