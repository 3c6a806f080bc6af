"""Logs are read by blocks; what Slurm writes to one when it ends the job for its memory."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from planit.errors import RunError
from planit.record.history import History, Leaf, Placement
from planit.record.jobs import JobRef
from planit.record.log_files import follow, has_memory_complaint, log_files, read_tail
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


TEXTS = ["", "\n", "a", "a\n", "a\nb", "a\nb\n", "\n\n\n", "é\n" * 5, "x\n" * 70_000, "é" * 70_000]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("count", [None, 0, 1, 2, 3, 69_999, 70_000, 70_001])
def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path, text: str, count: int | None) -> None:
    path = tmp_path / "log"
    path.write_text(text, encoding="utf-8")
    lines = text.splitlines(keepends=True)
    last = lines[max(0, len(lines) - count) :] if count is not None else lines
    assert "".join(read_tail(path, count)) == "".join(last)
    assert "".join(follow(path, lambda: True, count)) == "".join(last)


def test_of_a_line_of_hundreds_of_megabytes_only_blocks_are_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.write(b"first\n")
        file.truncate(800 << 20)  # zeros that take no space
    tracemalloc.start()
    try:
        assert next(read_tail(path, None)).startswith("first\n\0")
        assert next(read_tail(path, 1)).startswith("\0")
        assert next(follow(path, lambda: True, 2)).startswith("first\n\0")
        assert tracemalloc.get_traced_memory()[1] < 10 << 20
    finally:
        tracemalloc.stop()


def test_a_log_that_is_followed_comes_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / "log"
    pieces = [b"", b"one\n\xc3", b"\xa9 two\n", b""]  # a character in two pieces

    def is_over() -> bool:
        with path.open("ab") as file:
            file.write(pieces.pop(0))
        return not pieces

    assert "".join(follow(path, is_over, pause_s=0)) == "one\né two\n"


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(read_tail(tmp_path / "none", 3)) == []
    assert list(follow(tmp_path / "none", lambda: True)) == []


def test_a_log_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot read .*: Is a directory"):
        list(read_tail(tmp_path, 3))
    loop = tmp_path / "loop"
    loop.symlink_to("loop")
    with pytest.raises(RunError, match=r"cannot read .*loop: Too many levels"):
        list(follow(loop, lambda: True))
