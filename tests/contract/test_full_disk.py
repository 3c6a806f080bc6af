"""A full disk: a submission leaves nothing, and a step whose end cannot be written says so."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from planit import Chain, Run, Step
from planit.backends.base import Backend
from planit.errors import StorageError
from planit.nodes import Node
from planit.submit.new import NewRun
from tests.contract import ends
from tests.contract.drivers import ARGS, ON_SLURM, Driver
from tests.helpers import all_below, freeze_nothing, nothing
from tests.slurm.tools import settled, slurm_says, until

NO_SPACE = "No space left on device"
ROOT = Chain(Step("a", nothing, ARGS), Step("b", nothing, ARGS))


class Disk:
    """A small file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self._filler = path / "filler"

    def leave(self, pages: int) -> None:
        """Fill it but for some pages."""
        self._filler.unlink(missing_ok=True)
        info = os.statvfs(self.path)
        self._filler.write_bytes(b"x" * (info.f_bavail - pages) * info.f_bsize)

    def leave_files(self, count: int) -> None:
        """Leave it room for some more files."""
        shutil.rmtree(self._filler, ignore_errors=True)
        self._filler.mkdir()
        for number in range(os.statvfs(self.path).f_favail - count):
            (self._filler / str(number)).touch()


@pytest.fixture(autouse=True)
def _no_code_is_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small disk has no room for this project: tests/submit/test_project.py fills one, too."""
    freeze_nothing(monkeypatch)


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Disk]:
    options = getattr(request, "param", "size=1m")
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(tmp_path)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no mount: {error}")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield Disk(tmp_path)
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


@pytest.fixture(params=[ON_SLURM, "local-fork"])
def backend(request: pytest.FixtureRequest) -> Backend:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return Driver(request.param).backend()


def submit(disk: Disk, root: Node, backend: Backend) -> Run:
    return Run(NewRun("p", root, disk.runs, backend).start()[0].path, backend=backend)


def queued(backend: Backend) -> set[str]:
    """The tags of all jobs in the queue, those of other tests too."""
    return set(slurm_says("squeue", "-h", "-o", "%k").split()) if backend.name == "slurm" else set()


def are_gone(backend: Backend, others: set[str]) -> bool:
    return queued(backend) <= others


def first_that_submits(
    disk: Disk, leave: Callable[[int], None], start: int, backend: Backend
) -> tuple[Run, int]:
    """With ever more space, a submission fails with one line and leaves nothing, then succeeds."""
    for space in range(start, start + 60):
        leave(space)
        before = set(all_below(disk.path))
        others = queued(backend)
        try:
            return submit(disk, ROOT, backend), space
        except StorageError as error:
            told = error
        assert NO_SPACE in told.message
        assert "\n" not in str(told)
        assert told.hint == "free some space, or keep runs elsewhere"
        assert set(all_below(disk.path)) == before
        until(partial(are_gone, backend, others))
    raise AssertionError("it never had space enough")


def test_a_submission_succeeds_or_leaves_nothing(disk: Disk, backend: Backend) -> None:
    run, pages = first_that_submits(disk, disk.leave, 0, backend)
    assert pages > 5
    found = settled(run)
    assert found["a"] in ("DONE", "FAILED")


@pytest.mark.parametrize("disk", ["size=8m,nr_inodes=100"], indirect=True)
def test_so_it_does_where_there_is_no_room_for_more_files(disk: Disk, backend: Backend) -> None:
    run, files = first_that_submits(disk, disk.leave_files, 0, backend)
    assert files > 20
    settled(run)


def test_a_step_whose_end_cannot_be_written_says_so_and_is_run_again(
    disk: Disk, backend: Backend
) -> None:
    filler = disk.path / "filled"
    root = Chain(Step("fills", ends.fills, ARGS, str(filler)), Step("next", nothing, ARGS))
    run = submit(disk, root, backend)
    assert settled(run) == {"fills": "FAILED", "next": "BLOCKED"}
    cause = f"its end could not be written: {NO_SPACE}"
    assert run.status().step("fills").cause == cause
    with pytest.raises(StorageError, match=NO_SPACE):
        run.resume()
    filler.unlink()
    assert [(one.step, one.reason) for one in run.resume(dry_run=True)] == [
        ("fills", f"failed: {cause}"),
        ("next", "blocked by fills: FAILED"),
    ]
    filler.with_suffix(".not").touch()
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
