"""The frozen code at the command line: what is frozen, and what a resume runs."""

from __future__ import annotations

import pytest

from tests.local.project import Project, chain, ended

BUGGY = "def fit():\n    raise ValueError('a bug')\n"
FIXED = "def fit():\n    print('fixed')\n"


def failed(project: Project) -> str:
    """A run whose second step has a bug; what submit printed."""
    (project.folder / "mine.py").write_text(BUGGY)
    project.plan({"a": {}, "b": {}}, chain("a", "b"))
    path = project.folder / "conf" / "plan" / "p.yaml"
    path.write_text(
        path.read_text().replace('"b": {"func": "work.note"', '"b": {"func": "mine.fit"')
    )
    done = ended(project.submit())
    assert done.code == 1
    return done.out


def test_a_resume_runs_the_code_of_now_and_says_what_has_changed(project: Project) -> None:
    out = failed(project)
    assert f"\ncode: frozen, 3 files of {project.folder}" in out
    (project.folder / "mine.py").write_text(FIXED)
    done = project.planit("resume")
    assert done.code == 0, done.err
    line = next(line for line in done.out.splitlines() if line.startswith("code: "))
    assert line.endswith("; since submission 1: 1 file changed (mine.py), 1 file added (ran)")
    assert project.planit("logs", "b").out == "fixed\n"


@pytest.mark.parametrize("change", ["fixed", "removed", "folder gone"])
def test_a_resume_can_run_the_code_that_was_submitted(project: Project, change: str) -> None:
    failed(project)
    (project.folder / "mine.py").unlink()
    if change == "fixed":
        (project.folder / "mine.py").write_text(FIXED)
    done = project.planit("resume", "--frozen-code")
    assert done.code == 1
    assert "as in submission 1" in done.out
    assert "a bug" in project.planit("logs", "b").out


def test_a_resume_says_when_the_code_cannot_be_imported_any_more(project: Project) -> None:
    failed(project)
    (project.folder / "mine.py").unlink()
    done = project.planit("resume")
    assert done.code == 2
    assert done.err.startswith("planit: error: step 'b': no module named 'mine'")
    assert "--frozen-code" in done.err
    assert project.states() == {"a": "DONE", "b": "FAILED"}


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("freeze=all", "freeze=all is unknown"),
        ("freeze=null", "freeze=None is unknown"),
        ("freeze_limit_mb=-1", "freeze_limit_mb must be a number above 0, not -1"),
        ("freeze_limit_mb=0.001", "freeze_limit_mb=0.001: "),
    ],
)
def test_odd_wishes_and_too_much_code_are_refused(project: Project, word: str, says: str) -> None:
    project.plan({"a": {}}, "a")
    done = ended(project.submit(word))
    assert done.code == 2
    assert says in done.err
    assert not (project.folder / "planit_runs").exists()


def test_code_that_is_not_frozen_is_told(project: Project) -> None:
    project.plan({"a": {}}, "a")
    done = ended(project.submit("freeze=off"))
    assert "\ncode: not frozen (freeze=off): jobs run what is there when they start\n" in done.out
    assert not (project.run_dir() / "code").exists()


def test_what_a_step_writes_beside_its_code_is_told(project: Project) -> None:
    (project.folder / "mine.py").write_text(
        "from pathlib import Path\ndef fit():\n    (Path(__file__).parent / 'results').mkdir()\n"
    )
    project.plan({"b": {}}, "b")
    path = project.folder / "conf" / "plan" / "p.yaml"
    path.write_text(path.read_text().replace("work.note", "mine.fit"))
    assert ended(project.submit()).code == 0
    log = project.planit("logs", "b").out
    assert log.startswith("planit: results: written beside the frozen code, in ")
    assert "freeze=code" in log
    assert ended(project.submit("freeze=code")).code == 0
    assert (project.folder / "results").is_dir()
