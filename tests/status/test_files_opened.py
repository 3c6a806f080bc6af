"""What is final is not read again: files that a status opens, and folders that it lists."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Parallel
from planit.app.main import main
from planit.errors import RunError
from planit.record import history as histories
from planit.record.markers import EndMarker, Outcome, StartMarker
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from planit.submit.cancellation import cancel
from planit.submit.resumption import Resume
from tests.memory import MemoryScheduler
from tests.runs import a, states, status, submitted

COUNT = 1200  # more than an array may have in the scheduler in memory
_events: list[tuple[str, str]] | None = None


def _note(event: str, args: tuple[Any, ...]) -> None:
    if _events is not None and event in ("open", "os.listdir", "os.scandir"):
        _events.append((event, str(args[0])))


sys.addaudithook(_note)


@contextmanager
def noted(run: RunDir) -> Iterator[list[str]]:
    """What of a run is opened or listed meanwhile."""
    global _events  # noqa: PLW0603 (an audit hook cannot be removed)
    found: list[str] = []
    _events = []
    try:
        yield found
    finally:
        found += [path for _, path in _events if str(run.path) in path]
        _events = None


@pytest.fixture
def slurm() -> MemoryScheduler:
    return MemoryScheduler()


@pytest.fixture
def run(slurm: MemoryScheduler, tmp_path: Path) -> RunDir:
    """Many branches of two steps and a join; nothing has started."""
    branches = [Chain(a(f"first{i}"), a(f"then{i}")) for i in range(COUNT)]
    return submitted(slurm, tmp_path, Chain(Parallel(*branches), a("join")))


def files(run: RunDir) -> dict[str, TaskFiles]:
    """Those of each step, by its job's id."""
    places = histories.read(run).placements.values()
    return {
        str(one.key): TaskFiles(run.path, one.submission, one.stage, one.index or 0)
        for one in places
    }


def end(slurm: MemoryScheduler, some: dict[str, TaskFiles]) -> None:
    """Records as of long ago."""
    for key, one in some.items():
        one.write_end(0, EndMarker(Outcome.SUCCEEDED, started=1.0))
        slurm.set(key, "COMPLETED")
    for folder in {one.folder for one in some.values()}:
        os.utime(folder, (1.0, 1.0))


def test_a_submission_leaves_nothing_for_each_step(run: RunDir) -> None:
    assert len(list(run.path.rglob("*"))) < 40


def test_the_second_status_of_an_ended_run_opens_a_constant_number_of_files(
    run: RunDir, slurm: MemoryScheduler
) -> None:
    end(slurm, files(run))
    with noted(run) as first:
        assert set(states(run, slurm).values()) == {"DONE"}
    assert len(first) > 2 * COUNT
    with noted(run) as second:
        assert set(states(run, slurm).values()) == {"DONE"}
    assert len(second) < 15, second


def test_a_status_of_a_running_run_opens_what_is_new(run: RunDir, slurm: MemoryScheduler) -> None:
    listed = files(run)
    firsts = [key for key, one in listed.items() if one.stage == 0]
    end(slurm, {key: listed[key] for key in firsts[:500]})
    states(run, slurm)
    end(slurm, {key: listed[key] for key in firsts[500:600]})
    listed[firsts[700]].write_start(0, StartMarker(started=1.0))
    slurm.set(firsts[700], "RUNNING")
    with noted(run) as opened:
        found = list(states(run, slurm).values())
    assert (found.count("DONE"), found.count("RUNNING")) == (600, 1)
    records = [path for path in opened if path.endswith(".json") and "/stages/" in path]
    assert 101 <= len(records) <= 103, len(records)
    assert len(opened) - len(records) < 20


def test_a_later_status_of_an_ended_run_opens_its_answer_and_the_journal_alone(
    run: RunDir, slurm: MemoryScheduler
) -> None:
    end(slurm, files(run))
    before = [status(run, slurm) for _ in range(2)][-1]
    with noted(run) as opened:
        assert status(run, slurm) == before
    assert {Path(path).name for path in opened} == {"states.json", "journal.jsonl", "stages"}


def test_the_verb_reads_the_manifest_once(
    run: RunDir, slurm: MemoryScheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planit.backends.registry.of_run", lambda _: slurm)
    with noted(run) as opened:
        assert main(["status", "--runs-dir", str(run.path.parents[1])]) == 0
    assert [Path(path).name for path in opened].count("manifest.json") == 1


def test_what_planit_does_to_an_ended_run_is_seen(tmp_path: Path, slurm: MemoryScheduler) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    end(slurm, files(run))
    assert [list(states(run, slurm).values()) for _ in range(3)] == [["DONE", "DONE"]] * 3
    Resume(run, slurm, start_from=["b"]).execute()
    assert states(run, slurm) == {"a": "DONE", "b": "PENDING"}
    cancel(run, slurm, ["b"])
    assert states(run, slurm) == {"a": "DONE", "b": "CANCELLED"}


def test_a_damaged_answer_is_found_again(tmp_path: Path, slurm: MemoryScheduler) -> None:
    run = submitted(slurm, tmp_path, Chain(a("a"), a("b")))
    end(slurm, files(run))
    whole = [status(run, slurm) for _ in range(3)][-1]
    path = run.path / "states.json"
    content = path.read_text()
    for damage in (content.replace('"DONE"', '"GONE"', 1), content.replace('"a"', "5", 1), "{"):
        path.write_text(damage)
        assert status(run, slurm) == whole


def test_an_ended_run_without_a_manifest_is_no_run(tmp_path: Path, slurm: MemoryScheduler) -> None:
    run = submitted(slurm, tmp_path, a("a"))
    end(slurm, files(run))
    assert [states(run, slurm) for _ in range(3)] == [{"a": "DONE"}] * 3
    (run.path / "manifest.json").unlink()
    with pytest.raises(RunError, match="not a run directory"):
        states(run, slurm)


@pytest.mark.parametrize("looks", [1, 3])
def test_a_step_that_was_requeued_after_its_end_is_read_again(
    run: RunDir, slurm: MemoryScheduler, looks: int
) -> None:
    listed = files(run)
    end(slurm, listed)
    for _ in range(looks):
        states(run, slurm)
    listed["1_7"].write_start(1, StartMarker(started=2.0))
    slurm.set("1_7", "RUNNING")
    found = list(states(run, slurm).values())
    assert (found.count("DONE"), found.count("RUNNING")) == (2 * COUNT, 1)
