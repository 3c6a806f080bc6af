"""What a submission leaves on disk before its first job."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from planit import Chain, Command, Parallel, SlurmArgs, Step, Sweep
from planit.record import context, submissions
from planit.record.stage_dir import After
from planit.record.submissions import SubmittedStage
from tests.helpers import nothing
from tests.memory import MemoryScheduler
from tests.runs import ARGS, a, submitted


class Saves:
    """A step's function that can save itself."""

    def __call__(self) -> None: ...

    def checkpoint(self) -> None: ...


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


def test_the_context_says_how_the_functions_are_imported_and_by_whom_it_was_submitted(
    slurm: MemoryScheduler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", "/opt/mine", *sys.path])
    before = os.umask(0o027)
    try:
        run = submitted(
            slurm, tmp_path, Chain(Step("a", nothing, ARGS), Command("b", "true", ARGS))
        )
    finally:
        os.umask(before)
    found = context.read(run.path, 1)
    assert list(found.sys_path[:2]) == [str(tmp_path), "/opt/mine"]
    assert found.umask == 0o027
    assert found.backend == {"name": "memory", "python": "python3"}
    assert found.code.mode == "off"


def test_the_stages_of_a_submission_are_written_down(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    sweep = Sweep("s", nothing, ARGS, over={"x": [1, 2]}, max_concurrent=1)
    run = submitted(slurm, tmp_path, Chain(Step("a", Saves(), ARGS), sweep))
    first, second = submissions.read(run.path, 1) or []
    assert first == SubmittedStage(
        0, first.name, None, False, ["a"], [], first.options, None, True
    )  # fmt: skip
    assert (second.number, second.array, second.edges) == (1, True, [("afterok", 0)])
    assert (len(second.tasks), second.max_concurrent, second.checkpoints) == (2, 1, False)
    assert second.options["partition"] == "batch"


def test_a_stage_says_what_it_waits_for_and_whether_it_is_in_a_lane(
    slurm: MemoryScheduler, tmp_path: Path
) -> None:
    long = SlurmArgs("9:00:00", "batch")
    root = Parallel(Chain(a("a"), a("b", long)), a("c"), max_concurrent=1)
    run = submitted(slurm, tmp_path, root)
    afters = [run.stage_dir(1, number).after() for number in range(3)]
    assert afters == [
        After([], [], is_in_lane=False),
        After([("afterok", 0)], [], is_in_lane=False),
        After([], [], is_in_lane=True),
    ]
    assert [run.stage_dir(1, number).tasks() for number in range(3)] == [
        [(name, name)] for name in "abc"
    ]


def test_the_script_of_an_array_and_of_a_job(slurm: MemoryScheduler, tmp_path: Path) -> None:
    run = submitted(slurm, tmp_path, Chain(a("one"), Parallel(a("x"), a("y"))))
    one, both = (run.stage_dir(1, number).script.read_text() for number in range(2))
    assert "--array" not in one
    assert "#SBATCH --array=0-1" in both
    for number, text in enumerate((one, both)):
        assert run.tag(1, number) in text
        assert "python3" in text
