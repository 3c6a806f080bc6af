"""Names of folders, and who can read and write what planit makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planit.errors import PlanError, RunError
from planit.record.files import make_dir, open_log, read_json, slugs, write_atomic, write_new
from planit.record.journal import Journal
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from tests.helpers import give_default_acl, mode_of


def test_slugs_are_harmless_unique_and_readable() -> None:
    names = [
        "train",
        "Train",
        "a b",
        "a_b",
        "../x",
        "/etc",
        "-rf",
        ".git",
        "",
        "é" * 200,
        "\n",
        ".",
    ]
    made = slugs(names)
    assert made["train"] == "train"
    assert made["a_b"] == "a_b"
    folded = [slug.casefold() for slug in made.values()]
    assert len(set(folded)) == len(names)
    for slug in made.values():
        assert slug.isprintable()
        assert not slug.startswith(("-", "."))
        assert "/" not in slug
        assert 0 < len(slug.encode()) < 120


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077, 0o277])
@pytest.mark.parametrize("acl", [False, True])
def test_files_are_the_users_alone_whatever_umask_and_default_acl_say(
    tmp_path: Path, mask: int, acl: bool
) -> None:
    if acl:
        give_default_acl(tmp_path)
    before = os.umask(mask)
    try:
        folder = make_dir(tmp_path / "a" / "b")
        write_atomic(folder / "atomic", "x")
        write_new(folder / "new", "x")
        Journal(folder / "journal").append("event")
        with RunLock(folder):
            modes = {path.name: mode_of(path) for path in folder.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(["atomic", "new", "journal", "lock"], 0o600)
    assert mode_of(folder) == mode_of(folder.parent) == 0o755 & ~mask


def test_file_that_others_could_write_is_closed_when_it_is_opened_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal")
    journal.append("one")
    journal.path.chmod(0o666)
    journal.append("two")
    assert mode_of(journal.path) == 0o600


def test_new_file_replaces_a_link_and_never_writes_through_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine")
    link, hard = tmp_path / "link", tmp_path / "hard"
    link.symlink_to(outside)
    hard.hardlink_to(outside)
    for path in (link, hard):
        write_new(path, "new")
        assert path.read_text() == "new"
    link.unlink()
    link.symlink_to(outside)
    with pytest.raises(OSError, match="symbolic link"):
        Journal(link).append("event")
    assert outside.read_text() == "mine"


def test_what_is_added_to_a_shared_run_is_shared_and_nothing_else_is(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        shared = RunDir.create(tmp_path / "runs", "p", "group")
        private = RunDir.create(tmp_path / "runs", "p")
        for run in (shared, private):
            write_new(make_dir(run.path / "steps" / "s") / "file", "x")
            run.journal.append("event")
            os.close(open_log(run.path / "steps" / "s" / "log"))
    finally:
        os.umask(before)
    for run, file, folder in ((shared, 0o640, 0o1750), (private, 0o600, 0o700)):
        for path in [run.path, *run.path.rglob("*")]:
            assert mode_of(path) == (folder if path.is_dir() else file), path
    assert mode_of(tmp_path / "runs") == mode_of(tmp_path / "runs" / "p") == 0o750


def test_share_is_honoured_or_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"^share=all is unknown \("):
        RunDir.create(tmp_path, "p", "all")
    (tmp_path / "p").mkdir(0o700)
    with pytest.raises(RunError, match=r"share=group: the group cannot enter .*chmod g"):
        RunDir.create(tmp_path, "p", "group")
    assert not list((tmp_path / "p").iterdir())


@pytest.mark.parametrize(("shared", "mode"), [(False, 0o606), (True, 0o646)])
def test_log_that_others_could_write_is_closed_by_who_prints_to_it(
    tmp_path: Path, shared: bool, mode: int
) -> None:
    log = tmp_path / "log"
    text = f"from planit.record.files import close_log; close_log(shared={shared})"
    with log.open("w") as file:
        log.chmod(0o626)
        subprocess.run([sys.executable, "-c", text], stdout=file, stderr=file, check=True)
    assert mode_of(log) == mode & ~0o022
    assert log.read_text() == ""


def test_failed_write_leaves_the_old_content_and_no_scrap(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomic(path, "old")
    with pytest.raises(TypeError):
        write_atomic(path, 3)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    assert read_json(path) is None


def test_folder_below_a_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot make the folder .*file: "):
        make_dir(tmp_path / "file")
