"""``planit clean``: what it picks, says, asks and deletes."""

from __future__ import annotations

import json
import os
import pty
import shutil
import time
from pathlib import Path

import pytest

from planit.app.verbs import clean
from tests.helpers import Done, planit_here, run_planit, write

PLAN = """\
_target_: planit.Plan
name: {name}
steps:
  a: {{_target_: planit.Command, command: [{command}], slurm_args: cpu}}
root: a
"""
IDS = ["20261101-000000-000-0001", "20261102-000000-000-0002", "20261103-000000-000-0003"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two plans on this machine: three that succeeded, and one that failed."""
    folder = tmp_path_factory.mktemp("project")
    for name, command in (("fine", "true"), ("bad", "false")):
        write(folder / f"conf/plan/{name}.yaml", PLAN.format(name=name, command=f"'{command}'"))
        done = run_planit(
            "submit", f"plan={name}", "backend=local", "backend.cpus=8", "freeze=off", cwd=folder
        )
        assert done.code == (name == "bad"), done
    (bad,) = (folder / "planit_runs" / "bad").iterdir()
    bad.rename(bad.with_name(IDS[0]))
    (fine,) = (folder / "planit_runs" / "fine").iterdir()
    for one in IDS:
        shutil.copytree(fine, fine.with_name(one))
    shutil.rmtree(fine)
    return folder


@pytest.fixture
def project(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ran, tmp_path / "here", dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def runs(project: Path) -> list[str]:
    found = (project / "planit_runs").glob("*/*/manifest.json")
    return sorted(f"{path.parent.parent.name}{path.parent.name[-1]}" for path in found)


ALL = ["bad1", "fine1", "fine2", "fine3"]


def cleaned(*words: str) -> Done:
    done = planit_here("clean", *words)
    assert not done.err, done
    return done


def test_without_a_yes_it_only_tells(project: Path) -> None:
    done = planit_here("clean", "--keep-last", "1")
    assert done.code == 1
    assert "To delete: 2 run(s), " in done.out
    assert f"{IDS[1]}  fine  1 done  0.0 MB" in done.out
    assert done.out.endswith("Nothing is deleted without a yes: planit clean --yes\n")
    assert runs(project) == ALL


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--keep-last", "1"], ["bad1", "fine3"]),
        (["--keep-last", "0"], []),
        (["--failed"], ["fine1", "fine2", "fine3"]),
        (["--failed", "--keep-last", "1"], ALL),
        ([IDS[1]], ["bad1", "fine1", "fine3"]),
        ([f"fine/{IDS[0]}", "bad"], ["fine2", "fine3"]),
        ([f"fine/{IDS[2]}", IDS[1], "--keep-last", "1"], ["bad1", "fine1", "fine3"]),
        (["fine", "--failed"], ALL),
    ],
)
def test_options_and_runs_are_held_together(
    project: Path, words: list[str], left: list[str]
) -> None:
    done = cleaned(*words, "--yes")
    assert done.code == 0
    assert runs(project) == left
    gone = len(ALL) - len(left)
    assert done.out.splitlines()[-1] == (f"Deleted {gone} run(s)" if gone else "Nothing to delete")


def test_age_is_that_of_the_newest_file(project: Path) -> None:
    old = time.time() - 40 * 86400
    for one in (project / "planit_runs").glob("fine/*/**/*"):
        os.utime(one, (old, old))
    new = write(project / "planit_runs" / "fine" / IDS[0] / "steps" / "a" / "model.pt", "x")
    assert new.exists()
    planit_here("runs")
    cleaned("--older-than", "41d", "--yes")
    assert runs(project) == ALL
    cleaned("--older-than", "30d", "--yes")
    assert runs(project) == ["bad1", "fine1"]
    assert "Run " in planit_here("status", "fine").out


def test_something_must_be_asked_for(project: Path) -> None:
    for words, said in (
        ([], "planit clean needs a RUN, --older-than, --keep-last or --failed"),
        (["--yes"], "planit clean needs a RUN"),
        (["--older-than", "30"], "'30' is not an age: write 30d, 12h or 2w"),
        (["--keep-last", "-1"], "keep-last"),
    ):
        done = planit_here("clean", *words)
        assert (done.code, said in done.err) == (2, True), done
    done = planit_here("clean", IDS[1][:12], "--yes")
    assert (done.code, "type the whole id" in done.err) == (5, True), done
    assert runs(project) == ALL


def test_what_cannot_be_read_is_named_and_left(project: Path) -> None:
    broken = project / "planit_runs" / "fine" / IDS[1]
    write(broken / "manifest.json", "{")
    done = cleaned("--keep-last", "0", "--yes")
    assert done.code == 0
    assert f"Left: {IDS[1]}  fine  " in done.out
    assert runs(project) == ["fine2"]
    done = planit_here("clean", IDS[1], "--yes")
    assert (done.code, done.out) == (5, "")
    assert f"run {IDS[1]} cannot be deleted: " in done.err


def test_a_run_that_cannot_be_deleted_keeps_the_others_that_are_named(project: Path) -> None:
    lock = {"host": os.uname().nodename, "pid": os.getpid(), "start": start_here()}
    write(project / "planit_runs" / "fine" / IDS[1] / "lock", json.dumps(lock))
    done = planit_here("clean", IDS[1], "bad", "--yes")
    assert done.code == 5
    assert f"run {IDS[1]} cannot be deleted: it is being worked on by process" in done.err
    assert runs(project) == ALL


def start_here() -> str:
    return Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]


@pytest.mark.parametrize(("answer", "left"), [("y\n", ["bad1", "fine3"]), ("\n", ALL)])
def test_at_a_terminal_it_asks(
    project: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: list[str]
) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    with os.fdopen(theirs, encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        done = planit_here("clean", "--keep-last", "1")
    os.close(ours)
    assert "Delete? [y/N] " in done.out
    assert done.code == (left == ALL)
    assert runs(project) == left


def test_its_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        clean.run(["--help"])
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--older-than AGE", "of their plan", "without a terminal", "exit code: 0 all"):
        assert words in said


def test_the_rest_of_a_deletion_is_finished(project: Path) -> None:
    run = project / "planit_runs" / "fine" / IDS[1]
    (run / "manifest.json").rename(run / "removed.json")
    done = cleaned("--older-than", "9d", "--yes")
    assert f"{IDS[1]}  fine  the rest of a run that was deleted" in done.out
    assert not run.exists()
