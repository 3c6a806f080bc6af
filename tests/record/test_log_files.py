"""What Slurm writes to the log of a step when it ends the job for its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit.record.history import History, Leaf, Placement
from planit.record.jobs import JobRef
from planit.record.log_files import has_memory_complaint, log_files
from planit.record.run_dir import RunDir


def complains(folder: Path, text: str) -> bool:
    """Whether a log with this text counts as a complaint about memory."""
    leaf = Leaf("a", "a", "5")
    place = Placement(1, 0, None, JobRef(None, "12"), None, (), {})
    history = History(leaves=[leaf], placements={"a": place})
    run = RunDir(folder)
    path = log_files(run, history, leaf)[0]
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    return has_memory_complaint(run, history, leaf)


@pytest.mark.parametrize(
    "line",
    [
        # 22.05
        "slurmstepd-n1: error: StepId=4.batch exceeded memory limit (218 > 52), being killed",
        "slurmstepd-n1: error: Exceeded job memory limit",
        "slurmstepd: error: Detected 1 oom-kill event(s) in StepId=12.batch. Some of the step's",
        "slurmstepd: error: Detected 1 oom_kill event in StepId=12.batch. Some of the step tasks",
        # 26.05
        "[2026-11-28T00:01:08.658] error: StepId=1.batch exceeded memory limit (99 > 52), being",
        "[2026-11-28T00:01:08.687] error: Exceeded job memory limit",
        "[2026-11-28T00:01:08.687] error: Detected 1 oom_kill event in StepId=12.batch. Some of",
        # 26.05 with LogTimeFormat=short and =thread_id
        "[Nov 28 00:12:34] error: Exceeded job memory limit",
        "[Nov 28 00:12:41.175 12 worker[7]    0x7fc096] error: Exceeded job memory limit",
    ],
)
def test_slurms_own_lines_about_memory_are_found(tmp_path: Path, line: str) -> None:
    assert complains(tmp_path, f"epoch 3\n{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "[2026-11-28T00:01:08.701] error: *** JOB 1 ON n1 CANCELLED AT 2026-11-28T00:01:08 ***",
        "slurmstepd-n1: error: *** JOB 4 ON n1 CANCELLED AT 2026-11-28T00:04:58 ***",
        "error: Exceeded job memory limit",
        "ValueError: the batch exceeded memory limit",
        "[2026-11-28T00:01:08.701] the loader exceeded memory limit, retrying",
    ],
)
def test_other_lines_are_not_about_memory(tmp_path: Path, line: str) -> None:
    assert not complains(tmp_path, f"epoch 3\n{line}\n")
