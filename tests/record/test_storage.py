"""A file system that is full or read-only is told in one line, and nothing half-written counts."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planit import RunError
from planit.record import submissions, tickets
from planit.record.files import read_json, write_atomic, write_json, write_new
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.markers import StartMarker
from planit.record.run_dir import FORMAT, RunDir
from planit.record.task_files import TaskFiles

WRITES: dict[str, Callable[[RunDir], Any]] = {
    "journal": lambda run: run.journal.append("event"),
    "manifest": lambda run: run.write_manifest({"tree": {}}),
    "ticket": lambda run: tickets.issue(run.path, 1, {0: JobRef(None, "1")}, ["a"]),
    "submission": lambda run: submissions.write(run.path, 1, []),
    "lock": lambda run: RunLock(run.path).__enter__(),
    "new file": lambda run: write_new(run.path / "file", "x"),
    "record": lambda run: TaskFiles(run.path, 1, 0, 0).write_start(0, StartMarker()),
}


@pytest.mark.parametrize("what", WRITES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_what_cannot_be_written_is_told_with_its_path(
    tmp_path: Path, what: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDir.create(tmp_path, "p")
    run.stage_dir(1, 0).path.mkdir(parents=True)
    before = os.open

    def refuse(path: Any, flags: int, *more: Any, **words: Any) -> int:
        if flags & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return before(path, flags, *more, **words)

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(RunError, match=f"cannot write {run.path}/.*: {os.strerror(code)}"):
        WRITES[what](run)


def test_full_disk_leaves_the_old_content_and_no_scrap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file.json"
    write_json(path, ["old"])

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_atomic(path, "new")
    assert read_json(path) == ["old"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.json"]


@pytest.mark.parametrize(
    ("manifest", "whose"),
    [
        ({"schema": 1, "tree": {}, "versions": {"planit-slurm": "0.1.0"}}, "0.1.0"),
        ({"tree": {}}, "another version"),
        ({"tree": {}, "format": FORMAT + 1, "versions": {"planit-slurm": "9.9"}}, "9.9"),
    ],
)
def test_run_in_another_format_is_refused_in_one_line(
    tmp_path: Path, manifest: dict[str, Any], whose: str
) -> None:
    run = RunDir.create(tmp_path, "p")
    write_json(run.path / "manifest.json", manifest)
    with pytest.raises(RunError, match=f"in the format of planit {whose}, which this planit"):
        _ = run.manifest
    RunDir(run.path).write_manifest({"plan": "p", "tree": {"kind": "Chain", "children": []}})
    assert RunDir(run.path).manifest["format"] == FORMAT
