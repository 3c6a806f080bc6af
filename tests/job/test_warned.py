"""A step that can save itself is warned: by the rules of submitit, without its private names."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from submitit.core.utils import DelayedSubmission

from planit import SlurmArgs, Step
from planit.job import payload
from planit.record import trust
from planit.record.call_file import Limits
from planit.record.run_dir import CHECKPOINT, RunDir
from planit.record.stage_dir import open_calls
from planit.record.task_files import TaskFiles
from tests.helpers import mode_of
from tests.job.test_worker import begin, end

LONG = SlurmArgs("2:00:00", "batch", max_requeues=3)  # a warning at once is for a preemption
SHORT = SlurmArgs("5", "batch", max_requeues=3)  # ... and here for the end of the time
LAST = SlurmArgs("5", "batch", max_requeues=0)


class Saves:
    """Counts its attempts; `how` says what its checkpoint method does."""

    def __init__(self, how: str = "saves", seconds: float = 30) -> None:
        self.attempts, self.how, self.seconds = 0, how, seconds

    def __call__(self, go: str) -> int:
        self.attempts += 1
        Path(go).touch()
        time.sleep(self.seconds)
        return self.attempts

    def checkpoint(self, go: str) -> Any:
        Path(f"{go}.own").touch()
        if self.how == "gives up":
            return None
        return DelayedSubmission(self, go) if self.how == "saves" else "something else"


class SavesForSubmititOnly:
    def __call__(self, go: str) -> None:
        Path(go).touch()
        time.sleep(30)

    def __submitit_checkpoint__(self, go: str) -> Any:
        return DelayedSubmission(max, 3, 4)


def warned(
    tmp_path: Path, function: Any, args: SlurmArgs, *signals: int, **env: str
) -> tuple[dict[str, Any], TaskFiles, str]:
    """Start a step and send it signals: its end marker, its files, and what scontrol was told."""
    told, go = tmp_path / "told", tmp_path / "go"
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    # Slurm may send SIGTERM right behind the warning, to all processes.
    scontrol.write_text(f'#!/bin/sh\nkill $PPID $$\nsleep 0.2\necho "$@" >> {told}\n')
    scontrol.chmod(0o755)
    path = f"{scontrol.parent}{os.pathsep}{os.environ['PATH']}"
    process, files = begin(tmp_path, Step("s", function, args, str(go)), **{"PATH": path, **env})
    while not go.exists():
        time.sleep(0.02)
    for number in signals:
        process.send_signal(number)
        time.sleep(0.2)
    return end(process, files), files, told.read_text() if told.exists() else ""


def saved(files: TaskFiles) -> tuple[Any, Limits]:
    with trust.opened(files.run_path) as run, open_calls(run, 1, 0) as calls:
        return payload.load(calls, 0, run.subdir("steps/s"))


def checkpoint(files: TaskFiles) -> Path:
    return RunDir(files.run_path).step_dir("s") / CHECKPOINT


@pytest.mark.parametrize(("args", "left"), [(LONG, 3), (SHORT, 2)], ids=["preempted", "time"])
def test_it_is_saved_and_requeued_and_only_its_time_is_counted(
    tmp_path: Path, args: SlurmArgs, left: int
) -> None:
    marker, files, told = warned(tmp_path, Saves(), args, signal.SIGUSR2)
    assert (marker["outcome"], marker["exit_code"]) == ("requeued", 85)
    assert told == "requeue 1\n"
    call, limits = saved(files)
    assert (call.function.attempts, limits.requeues) == (1, left)
    assert limits.minutes == (120 if args is LONG else 5)


def test_the_next_attempt_goes_on_with_what_was_saved(tmp_path: Path) -> None:
    function = SavesForSubmititOnly()
    marker, files, told = warned(tmp_path, function, LONG, signal.SIGUSR2)
    assert (marker["outcome"], told) == ("requeued", "requeue 1\n")
    assert saved(files)[0].result() == 4


def test_an_array_task_is_requeued_by_its_own_id(tmp_path: Path) -> None:
    ids = {"SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "0"}
    marker, _, told = warned(tmp_path, Saves(), LONG, signal.SIGUSR2, **ids)
    assert (marker["outcome"], told) == ("requeued", "requeue 1_0\n")


@pytest.mark.parametrize(
    ("function", "args", "says"),
    [
        (Saves(), LAST, "its time was over too many times"),
        (Saves("gives up"), LONG, "checkpoint returned None"),
        (Saves("answers wrongly"), LONG, "must return a DelayedSubmission or None"),
    ],
    ids=["too often", "nothing to save", "wrong"],
)
def test_what_cannot_be_requeued_has_failed_and_says_why(
    tmp_path: Path, function: Saves, args: SlurmArgs, says: str
) -> None:
    marker, _, told = warned(tmp_path, function, args, signal.SIGUSR2)
    assert (marker["outcome"], marker["exit_code"], told) == ("failed", 1, "")
    assert says in marker["error"]["message"]


def test_a_requeue_that_slurm_refuses_is_a_failure(tmp_path: Path) -> None:
    bin_dir = tmp_path / "first"
    bin_dir.mkdir()
    (bin_dir / "scontrol").write_text("#!/bin/sh\nexit 1\n")
    (bin_dir / "scontrol").chmod(0o755)
    path = f"{bin_dir}{os.pathsep}{os.environ['PATH']}"
    marker, _, _ = warned(tmp_path, Saves(), LONG, signal.SIGUSR2, PATH=path)
    assert marker["outcome"] == "failed"
    assert marker["error"]["type"] == subprocess.CalledProcessError.__name__


def test_signals_that_come_with_the_warning_do_not_end_it(tmp_path: Path) -> None:
    signals = (signal.SIGTERM, signal.SIGCONT, signal.SIGTERM, signal.SIGUSR2)
    marker, _, told = warned(tmp_path, Saves(), LONG, *signals)
    assert (marker["outcome"], told) == ("requeued", "requeue 1\n")
    assert "SIGTERM is ignored" in marker["out"]


def test_the_signal_is_the_one_that_submitit_was_told(tmp_path: Path) -> None:
    env = {"SUBMITIT_PREEMPT_SIGNAL": "USR1"}
    marker, _, told = warned(tmp_path, Saves(), LONG, signal.SIGUSR1, **env)
    assert (marker["outcome"], told) == ("requeued", "requeue 1\n")


def test_only_the_first_rank_saves(tmp_path: Path) -> None:
    ends = Saves(seconds=2)
    marker, files, told = warned(tmp_path, ends, LONG, signal.SIGUSR2, SLURM_PROCID="1")
    assert (marker["outcome"], told) == ("succeeded", "")
    assert not checkpoint(files).exists()
    assert "it is preempted" in marker["out"]


def test_a_step_on_this_machine_is_left_for_the_engine_to_start_again(tmp_path: Path) -> None:
    env = {"PLANIT_JOB": "1.0", "PLANIT_RESTART": "0"}
    marker, files, told = warned(tmp_path, Saves(), LONG, signal.SIGUSR2, **env)
    assert (marker["outcome"], told) == ("requeued", "")
    assert saved(files)[0].function.attempts == 1


def test_files_of_the_users_own_have_the_users_umask_and_the_checkpoint_is_private(
    tmp_path: Path,
) -> None:
    before = os.umask(0o002)
    try:
        _, files, _ = warned(tmp_path, Saves(), LONG, signal.SIGUSR2)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "go.own") == 0o664
    assert stat.S_IMODE(checkpoint(files).stat().st_mode) == 0o600
