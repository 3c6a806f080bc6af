"""Names of folders, and whom a file is trusted from."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from planit.errors import RunError
from planit.record.files import make_dir, read_json, slugs, why_untrusted, write_atomic, write_new


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


@pytest.mark.parametrize("mask", [0o000, 0o002, 0o022, 0o077])
def test_what_is_made_is_closed_and_keeps_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        folder = make_dir(tmp_path / "a" / "b")
        write_atomic(folder / "one", "x")
        write_new(folder / "two", "x")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "one", folder / "two")]
    assert modes == [0o755 & ~mask, 0o644 & ~mask, 0o644 & ~mask]


def test_untrusted_files_are_named_with_the_reason(tmp_path: Path) -> None:
    good = tmp_path / "good"
    write_new(good, "x")
    assert why_untrusted([tmp_path, good]) is None
    link = tmp_path / "link"
    link.symlink_to(good)
    assert why_untrusted([good, link]) == f"{link} is a symbolic link"
    good.chmod(0o646)
    assert why_untrusted([good]) == f"{good} can be written by others (mode 646)"
    assert "No such file" in str(why_untrusted([tmp_path / "none"]))


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
