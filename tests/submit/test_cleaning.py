"""Which runs are deleted, which are refused, and what is left of them meanwhile."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from planit import Chain
from planit.errors import RunError, SchedulerError
from planit.record import index, removal, submissions
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.record.run_paths import MANIFEST
from planit.submit.cleaning import delete, finish, removable
from tests.helpers import write
from tests.memory import MemoryScheduler
from tests.runs import a, end, killed_before_release, submitted


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


def ended(slurm: MemoryScheduler, base: Path, *, second: str = "succeeded") -> RunDir:
    """A run of two steps that have ended, and which the queue has forgotten."""
    before = {key for _, key in slurm.jobs}
    run = submitted(slurm, base, Chain(a("a"), a("b")))
    end(run, "a")
    end(run, "b", second)
    for key in [key for _, key in slurm.jobs if key not in before]:
        slurm.set(key, "COMPLETED")
        slurm.forget(key)
    return run


def refusal(run: RunDir, slurm: MemoryScheduler) -> str:
    with pytest.raises((RunError, SchedulerError)) as caught:
        removable(run, slurm)
    assert run.path.is_dir()
    return str(caught.value)


def test_a_run_that_has_ended_goes_with_its_plans_empty_folder(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    for second in ("succeeded", "failed"):
        run = ended(slurm, tmp_path, second=second)
        kept = run.path / "steps" / "b"
        write(kept / "model.pt", "x")
        kept.chmod(0o500)  # as tools leave their caches
        delete(removable(run, slurm), slurm)
        assert list((tmp_path / "runs").iterdir()) == []


def test_what_waits_or_runs_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    assert refusal(run, slurm) == "job 1 of it is in the queue (planit cancel ends it)"
    end(run, "a")
    slurm.forget("1")
    assert refusal(run, slurm).startswith("job 2 of it is in the queue")
    slurm.set("2", "RUNNING")
    assert refusal(run, slurm).startswith("job 2 of it is in the queue")
    slurm.forget("2", account=False)  # nobody knows, for a while
    assert "its scheduler gives no answer" in refusal(run, slurm)


def test_a_step_that_was_requeued_by_hand_is_alive(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = ended(slurm, tmp_path)
    found = removable(run, slurm)
    slurm.jobs[None, "2"] = slurm.accounts[None, "2"]
    slurm.set("2", "PENDING")
    with pytest.raises(RunError, match="job 2 of it is in the queue"):
        delete(found, slurm)
    assert (run.path / MANIFEST).exists()
    assert not (run.path / "lock").exists()


def test_without_an_answer_nothing_is_deleted(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = ended(slurm, tmp_path)
    slurm.no_answer[None] = "squeue does not answer"
    assert refusal(run, slurm) == "its scheduler gives no answer: squeue does not answer"


def test_a_locked_run_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = ended(slurm, tmp_path)
    found = removable(run, slurm)
    with RunLock(run.path):
        assert "being worked on by process" in refusal(run, slurm)
        with pytest.raises(RunError, match="being worked on"):
            delete(found, slurm)
    assert (run.path / MANIFEST).exists()


def test_a_half_submitted_run_is_refused(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    killed_before_release(run, slurm)
    assert "is in the queue" in refusal(RunDir(run.path), slurm)
    for key in ("1", "2"):
        slurm.set(key, "CANCELLED")
    said = refusal(RunDir(run.path), slurm)
    assert said.startswith("its submission stopped in the middle (planit resume finishes it")


def test_a_run_whose_record_cannot_be_read_is_refused(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = ended(slurm, tmp_path)
    submissions.path_of(run.path, 1).write_text("{")
    assert "submission 1 of it cannot be read" in refusal(RunDir(run.path), slurm)
    (run.path / MANIFEST).write_text("{")
    assert "no readable manifest.json" in refusal(RunDir(run.path), slurm)


def test_a_link_and_another_users_run_are_refused(
    slurm: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(slurm, tmp_path)
    link = run.path.with_name("link")
    link.symlink_to(run.path)
    assert "is a symbolic link" in refusal(RunDir(link), slurm)
    found = removable(run, slurm)
    mine = os.geteuid()
    if mine == 0:
        os.chown(run.path, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    assert "another user" in refusal(run, slurm)
    with pytest.raises(RunError, match="another user"):
        removal.remove(found.path)


def test_a_reader_sees_a_whole_run_or_none(
    slurm: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ended(slurm, tmp_path)
    whole = set(run.path.rglob("*"))
    unlink, listdir = os.unlink, os.listdir
    rmtree: Any = shutil.rmtree
    seen = []

    def look() -> None:
        is_whole = whole <= set(run.path.rglob("*"))
        seen.append(bool(index.all_runs(tmp_path / "runs")) and not is_whole)

    def unlinked(*args: Any, **more: Any) -> None:
        look()
        unlink(*args, **more)

    def cleared(*args: Any, **more: Any) -> None:
        look()
        rmtree(*args, **more)

    def listed(folder: Any) -> list[str]:
        return sorted(listdir(folder), key=lambda name: name == MANIFEST)

    monkeypatch.setattr(os, "unlink", unlinked)
    monkeypatch.setattr(os, "listdir", listed)
    monkeypatch.setattr(shutil, "rmtree", cleared)
    delete(removable(run, slurm), slurm)
    assert len(seen) > 4
    assert not any(seen)


def test_what_a_killed_deletion_left_is_no_run_and_is_finished(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    run = ended(slurm, tmp_path)
    base = tmp_path / "runs"
    being_made = base / "p" / "20261124-135919-412-ac0a"
    being_made.mkdir()
    assert removal.leftovers(base) == []
    (run.path / MANIFEST).rename(run.path / removal.REMOVED)
    assert index.all_runs(base) == []
    assert removal.leftovers(base) == [run.path]
    finish(run.path)
    assert list((base / "p").iterdir()) == [being_made]


def test_files_that_runs_share_count_once_and_stay_with_the_other(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in ("x", "y", "z")]
    write(runs[0] / "own", "1" * 10)
    shared = write(runs[0] / "code" / "m.py", "2" * 100)
    for other in runs[1:]:
        (other / "code").mkdir(parents=True)
        os.link(shared, other / "code" / "m.py")
    assert removal.room_of(runs[:1]) == removal.Room(2, 10, 100)
    assert removal.room_of(runs[:2]) == removal.Room(3, 10, 100)
    assert removal.room_of(runs) == removal.Room(4, 110, 0)
    removal.remove(runs[0])
    assert (runs[1] / "code" / "m.py").read_text() == "2" * 100
