"""Where a user's runs are: links in a folder of the user's own, which may not be there."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planit.record import run_bases
from tests.helpers import all_below


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of what is kept; the working directory is beside it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "state"


def base(folder: Path, name: str) -> Path:
    made = folder.parent / name
    made.mkdir(exist_ok=True)
    return made


def test_a_folder_is_kept_for_the_working_directory_it_was_used_from(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, runs, logs = Path.cwd(), base(state, "runs"), base(state, "logs")
    for one in (runs, logs, runs):
        run_bases.remember(one)
    monkeypatch.chdir(runs)
    run_bases.remember(runs)
    assert sorted(run_bases.of_folder(here)) == sorted([runs, logs])
    assert run_bases.of_folder(runs) == [runs]
    assert run_bases.is_remembered(runs)
    assert not run_bases.is_remembered(logs)
    assert sorted(run_bases.every()) == sorted([runs, logs])


def test_submissions_at_the_same_time_lose_nothing(state: Path) -> None:
    wanted = [base(state, f"runs{number % 7}") for number in range(70)]
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(run_bases.remember, wanted))
    assert set(run_bases.of_folder(Path.cwd())) == set(wanted)


def test_a_folder_that_is_gone_is_left_out_and_after_months_forgotten(state: Path) -> None:
    gone, there = base(state, "gone"), base(state, "there")
    for one in (gone, there):
        run_bases.remember(one)
    gone.rename(state.parent / "moved")
    assert run_bases.every() == run_bases.of_folder(Path.cwd()) == [there]
    links = [path for path in state.rglob("*") if path.is_symlink()]
    assert len(links) == 2  # it may be on a file system that is not there today
    for link in links:
        old = time.time() - 100 * 86400
        os.utime(link, (old, old), follow_symlinks=False)
    assert run_bases.every() == [there]
    assert [path for path in state.rglob("*") if path.is_symlink()] != links
    run_bases.remember(there)  # used again
    there.rename(state.parent / "away")
    assert run_bases.every() == []
    assert len([path for path in state.rglob("*") if path.is_symlink()]) == 1


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null", "state/file", "x" * 300])
def test_where_nothing_can_be_kept_nothing_fails(
    state: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (state / "file").parent.mkdir()
    (state / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(state.parent / place))
    run_bases.remember(state)
    assert not run_bases.is_remembered(state)
    assert run_bases.of_folder(Path.cwd()) == run_bases.every() == []


def test_without_a_variable_it_is_in_the_home_folder(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(state.parent))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_STATE_HOME", value)
        run_bases.remember(base(state, "runs"))
    assert all_below(Path.cwd()) == []
    links = [path for path in (state.parent / ".local/state").rglob("*") if path.is_symlink()]
    assert [link.readlink() for link in links] == [state.parent / "runs"]
