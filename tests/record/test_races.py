"""Another user swaps folders and files while a worker starts and while a result is read.

Where the tests are not root they cannot become another user; what is planted then is this user's
but can be written by everybody, which is refused just the same.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import SlurmArgs, Step
from planit.backends.local.client import LocalClient
from planit.backends.submitit_jobs import StepJob
from planit.backends.watcher import ClusterWatcher
from planit.record.call_file import Limits, PickledCalls
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from tests.helpers import HERE
from tests.job.test_worker import begin
from tests.slurm import steps

ATTEMPTS = 10
_MOST_ATTEMPTS = 60
_NOBODY = 65534
_PAUSE_S = 0.017  # a few swaps
# The attacker: exchanges two names every few milliseconds until its input is closed.
_SWAP = """
import ctypes, os, select, sys
one, other, uid = os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), int(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
print("begun", flush=True)
swaps = 0
while not select.select([0], [], [], 0.004)[0]:
    swaps += libc.renameat2(-100, one, -100, other, 2) == 0  # RENAME_EXCHANGE
print(swaps)
"""


class Planted:
    """Unpickling this runs a line of the attacker's."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"echo foreign >> {self.path}",)


@dataclass(frozen=True)
class Scene:
    """A step that has ended once, in a place where others may write, and what they planted."""

    files: TaskFiles
    ran: Path
    foreign: Path

    @property
    def run(self) -> Path:
        return self.files.run_path

    def worker(self) -> str:
        """Start the step's worker again; what it wrote."""
        names = {
            "PLANIT_RUN_DIR": self.run,
            "PLANIT_STEP_DIR": RunDir(self.run).step_dir("s"),
            "PLANIT_STEP": "s",
            "PLANIT_SUBMISSION": 1,
            "PLANIT_STAGE": 0,
            "PLANIT_TASK": 0,
            "PLANIT_RECORD_WAIT_S": 0.2,
        }
        env = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
        more = {"PYTHONPATH": HERE, "SLURM_JOB_ID": "1"}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "planit.job.worker"],
            env={**env, **more, **{key: str(value) for key, value in names.items()}},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout + done.stderr

    def result(self) -> str:
        """Read the step's result as the jobs of `Plan.submit` do."""
        return self._of_job(lambda job: job.result())

    def submission(self) -> str:
        """Read the step's call likewise."""
        return self._of_job(lambda job: job.submission())

    def _of_job(self, act: Callable[[StepJob], object]) -> str:
        time.sleep(_PAUSE_S)
        watcher = ClusterWatcher(LocalClient(self.run), None)
        script = self.files.folder / "script"
        job = StepJob(self.files, JobRef(None, "1"), watcher, name="s", script=script)
        try:
            return str(act(job))
        except Exception as error:  # an untrusted run, and whatever a half-swapped one looks like
            return str(error)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """The run is in a folder of its own below /tmp, for others cannot enter pytest's."""
    before = os.umask(0o022)
    place = Path(tempfile.mkdtemp(prefix="planit-race-", dir="/tmp"))
    try:
        place.chmod(0o755)
        ran = tmp_path / "ran"
        task = Step("s", steps.note, SlurmArgs("5", "batch"), str(ran), "mine")
        process, files = begin(place, task)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0, out
        yield Scene(files, ran, tmp_path / "foreign")
    finally:
        os.umask(before)
        shutil.rmtree(place)


def plant(scene: Scene, what: Path) -> Path:
    """A copy of a part of the run beside it, as another user would make it, with other pickles."""
    away = what.with_name(f"{what.name}.planted")
    if what.is_dir():
        shutil.copytree(what, away)
    else:
        shutil.copy(what, away)
    below = [away, *away.rglob("*")]
    planted = pickle.dumps(Planted(scene.foreign))
    for path in below:
        if path.name.startswith("calls"):
            path.unlink()
            PickledCalls([planted], {}, Limits(5, 0)).write(path)
        elif path.name.startswith("0.0.json"):
            path.write_bytes(path.read_bytes().partition(b"\n")[0] + b"\n" + planted)
    for path in below:
        path.chmod(0o755 if path.is_dir() else 0o644)
        if os.geteuid() == 0:
            os.chown(path, _NOBODY, _NOBODY)
        else:
            path.chmod(0o777)
    return away


@contextlib.contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """Somebody exchanges the two all the time."""
    attacker = subprocess.Popen(
        [sys.executable, "-c", _SWAP, str(one), str(other), str(_NOBODY)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert attacker.stdout is not None
    assert attacker.stdout.readline() == "begun\n"
    yield
    swaps, _ = attacker.communicate()
    assert int(swaps) > ATTEMPTS


def part(scene: Scene, what: str, act: str) -> Path:
    """The part of the run that is swapped."""
    files = scene.files
    file = files.record(0) if act == "result" else files.folder / "calls"
    return {"run": scene.run, "stage": files.folder, "file": file}[what]


@pytest.mark.parametrize("act", ["worker", "result", "submission"])
@pytest.mark.parametrize("what", ["run", "stage", "file"])
def test_nothing_foreign_runs_where_everybody_may_rename(scene: Scene, what: str, act: str) -> None:
    swapped = part(scene, what, act)
    planted = plant(scene, swapped)
    swapped.parent.chmod(0o777)
    with swapping(swapped, planted):
        said = [getattr(scene, act)() for _ in range(ATTEMPTS)]
    assert not scene.foreign.exists(), f"{len(scene.foreign.read_text().split())} foreign lines"
    assert all("can be written by" in text or "belongs to another" in text for text in said), said


@pytest.mark.parametrize("act", ["worker", "result"])
def test_nothing_foreign_runs_in_a_project_folder_that_is_trusted_on_purpose(
    scene: Scene, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run directory is swapped in time half of the times; the other half it is this user's."""
    planted = plant(scene, scene.run)
    project = scene.run.parent
    if os.geteuid() == 0:
        os.chown(project, -1, _NOBODY)
    project.chmod(0o2770 | 0o005)
    monkeypatch.setenv("PLANIT_TRUST_GROUP", "1")
    refused, ran = 0, 0
    with swapping(scene.run, planted):
        for number in range(_MOST_ATTEMPTS):
            text = getattr(scene, act)()
            refused += "belongs to another" in text or "can be written by others" in text
            ran += "mine" in text
            if number >= ATTEMPTS and refused and ran:
                break
    assert not scene.foreign.exists(), f"{len(scene.foreign.read_text().split())} foreign lines"
    assert refused
    assert ran
