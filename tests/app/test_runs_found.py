"""The verbs about runs find them where they were made, without being told the folder."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import submitit

from planit import Plan, Run, RunError, SlurmArgs, Step
from planit.app.main import main
from planit.record import run_bases
from tests.helpers import nothing, planit_here, write

ARGS = SlurmArgs(time="5", partition="batch", cpus_per_task=1)
PRIMARY = "defaults: [slurm@cpu: cpu, backend: local, plan: p, _self_]\nfreeze: off\n"
PLAN = """\
_target_: planit.Plan
name: p
steps: {say: {_target_: planit.Command, command: echo said, slurm_args: "${cpu}"}}
root: say
"""


@dataclass(frozen=True)
class Place:
    """A project with a run of each kind, by the names of their plans."""

    folder: Path
    state: Path


def submit_from_python(name: str, folder: str) -> None:
    """A plan in Python, with an executor's folder, in the working directory."""
    plan = Plan(name, Step("a", nothing, ARGS))
    plan.submit(submitit.AutoExecutor(folder=folder, cluster="local"), freeze="off")
    plan.wait()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Runs that the configuration puts elsewhere, then the command line, then Python."""
    top = tmp_path_factory.mktemp("found")
    folder, state = top / "project", top / "state"
    write(folder / "conf/config.yaml", PRIMARY + "runs_dir: records\n")
    write(folder / "conf/plan/p.yaml", PLAN)
    (folder / "src/deep").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("XDG_STATE_HOME", str(state))
        for words in ([], ["plan.name=other", f"runs_dir={top / 'far'}"]):
            assert main(["submit", "cpu.cpus_per_task=1", *words]) == 0
        submit_from_python("q", "slurm_logs")
        yield Place(folder, state)


@pytest.fixture
def copied(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project elsewhere, of which only its own files tell where its runs are."""
    shutil.copytree(place.folder, tmp_path / "copy")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "copy"


def plans(folder: Path, *words: str) -> list[str]:
    """The plans of the runs that ``planit runs`` shows in a folder, the newest first."""
    done = planit_here("runs", *words, cwd=folder)
    assert (done.code, done.err) == (0, ""), done
    return [line.split()[1] for line in done.out.splitlines() if line[:2] == "20"]


@pytest.mark.parametrize("below", ["", "src/deep"])
def test_runs_of_every_kind_are_found_in_the_project_and_below_it(place: Place, below: str) -> None:
    assert plans(place.folder / below) == ["q", "other", "p"]
    done = planit_here("status", "--json", cwd=place.folder / below)
    assert json.loads(done.out)["plan"] == "q"
    for plan in ("p", "other", "q"):
        done = planit_here("status", plan, cwd=place.folder / below)
        assert done.out.startswith("Run 20"), done
        assert f" of plan {plan}: 1 done" in done.out


@pytest.mark.parametrize(
    "words",
    [
        ["status"],
        ["results"],
        ["show", "say"],
        ["logs", "say"],
        ["wait"],
        ["cancel"],
        ["resume", "--dry-run"],
        ["clean", "--older-than", "1h"],
    ],
    ids=lambda words: words[0],
)
def test_every_verb_looks_where_the_configuration_says(
    copied: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    done = planit_here(*words, cwd=copied / "src")
    assert done.code == 0, done
    assert "no runs" not in done.out


def test_a_folder_that_was_typed_is_the_only_one(place: Place) -> None:
    assert plans(place.folder, "--runs-dir", "slurm_logs") == ["q"]
    done = planit_here("status", "p", "--runs-dir", "slurm_logs", cwd=place.folder)
    assert (done.code, done.err.splitlines()[0]) == (
        5,
        "planit: error: no run 'p' in slurm_logs",
    )


@pytest.mark.parametrize(
    ("value", "env"),
    [
        ("${oc.env:PLANIT_RUNS_DIR,records}", {}),
        ("${oc.env:MINE}/records  # of each user", {"MINE": "."}),
        ('"${oc.env:MINE, rec}ords"', {}),
        ("${root}/records\nroot: .", {}),
    ],
    ids=["default", "variable", "with a default", "another key"],
)
def test_interpolations_are_resolved(
    copied: Path, monkeypatch: pytest.MonkeyPatch, value: str, env: dict[str, str]
) -> None:
    write(copied / "conf/config.yaml", f"{PRIMARY}runs_dir: {value}\n")
    for name, text in env.items():
        monkeypatch.setenv(name, text)
    assert plans(copied) == ["p"]


def test_what_cannot_be_resolved_is_refused_with_a_way_out(copied: Path) -> None:
    write(copied / "conf/config.yaml", f"{PRIMARY}runs_dir: ${{oc.env:PLANIT_NOT_SET}}/records\n")
    done = planit_here("runs", cwd=copied)
    assert done.code == 2
    assert "PLANIT_NOT_SET" in done.err.splitlines()[0]
    assert "--runs-dir DIR" in done.err.splitlines()[1]
    assert plans(copied, "--runs-dir", "records") == ["p"]


def test_a_project_below_another_has_its_own_runs(copied: Path) -> None:
    for mark in ("conf/config.yaml", ".git/config"):
        own = copied / mark.partition("/")[0] / "inner"
        write(own / mark, "")
        done = planit_here("runs", cwd=own)
        assert done.out == "No runs in planit_runs\n"


def test_the_users_home_is_not_the_project_of_what_is_below_it(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(copied))
    assert plans(copied / "src") == []
    assert plans(copied) == ["p"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_a_folder_above_that_is_somebody_elses_is_not_a_project(copied: Path) -> None:
    os.chown(copied, 12345, -1)
    assert plans(copied / "src") == []
    assert plans(copied) == ["p"]


def test_every_run_of_the_user_is_found_from_anywhere(place: Place, tmp_path: Path) -> None:
    assert plans(tmp_path, "--all") == ["q", "other", "p"]
    done = planit_here("runs", "--all", cwd=tmp_path)
    assert [line.split()[-1] for line in done.out.splitlines()] == [
        str(place.folder / "slurm_logs"),
        str(place.folder.parent / "far"),
        str(place.folder / "records"),
    ]
    done = planit_here("runs", "--all", "--runs-dir", "x", cwd=tmp_path)
    assert (done.code, "not allowed with" in done.err) == (2, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_runs_of_others_in_a_folder_that_is_used_are_not_the_users(copied: Path) -> None:
    run_bases.remember(copied / "records")
    assert plans(copied, "--all") == ["p"]
    (run,) = (copied / "records/p").iterdir()
    os.chown(run, 12345, -1)
    assert plans(copied, "--all") == []


def test_runs_that_were_deleted_drop_out(place: Place, tmp_path: Path) -> None:
    away = place.folder / "slurm_logs"
    away.rename(tmp_path / "away")
    try:
        assert plans(tmp_path, "--all") == ["other", "p"]
        assert plans(place.folder) == ["other", "p"]
    finally:
        (tmp_path / "away").rename(away)


def test_where_nothing_can_be_kept_for_the_user_the_run_is_made_and_the_next_command_is_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level("INFO")
    for state, next_command in (
        ("/proc/state", f"planit status --runs-dir {tmp_path / 'logs'}"),  # nobody can write there
        (str(tmp_path / "state"), "planit status"),
    ):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        caplog.clear()
        submit_from_python("q", "logs")
        assert caplog.messages[0].endswith(f"; next: {next_command}")


def test_the_next_command_that_is_printed_finds_the_run(
    copied: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(copied)
    kept = str(tmp_path / "state")
    for state, more in (("/proc/state", f" --runs-dir {tmp_path}"), (kept, "")):
        monkeypatch.setenv("XDG_STATE_HOME", state)
        words = ["cpu.cpus_per_task=1", f"runs_dir={tmp_path}"]
        assert main(["submit", *words]) == 0
        see = f"See planit status{more}, planit logs{more} STEP, planit cancel{more}"
        assert see in capsys.readouterr().out.splitlines()


def test_the_usual_folder_is_looked_in_too_where_the_key_may_be_another_programs(
    copied: Path,
) -> None:
    (copied / "records").rename(copied / "planit_runs")
    assert plans(copied / "src") == ["p"]


def test_python_finds_them_in_the_same_folder(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(place.state))
    assert Run.open().plan == "q"
    assert Run.open("other").path.parents[1] == place.folder.parent / "far"
    with pytest.raises(RunError):
        Run.open("p", base="slurm_logs")


def test_the_run_that_a_part_comes_after_is_found_as_well(place: Place) -> None:
    words = ["plan.name=r", "--only", "say", "--after", "q"]
    with contextlib.chdir(place.folder), pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(place.state))
        done = planit_here("describe", *words)
    assert done.code == 0, done
