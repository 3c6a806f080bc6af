"""The calls of a stage in one file: what several share is stored once, and each is whole."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from planit import PlanError, RunError
from planit.job import payload
from planit.job.call import Call
from planit.record import trust
from planit.record.call_file import CallFile, Limits, PickledCalls, copied
from planit.record.files import make_dir
from planit.record.run_dir import RunDir
from planit.record.stage_dir import open_calls
from planit.record.task_files import TaskFiles

LIMITS = Limits(60, 2)


@pytest.fixture
def task(tmp_path: Path) -> TaskFiles:
    """Task 0 of a stage whose folder is there."""
    made = TaskFiles(RunDir.create(tmp_path, "p").path, 1, 0, 0)
    make_dir(made.folder)
    return made


def written(task: TaskFiles, calls: list[Call]) -> PickledCalls:
    pickled = payload.dump({f"s{i}": call for i, call in enumerate(calls)}, LIMITS)
    pickled.write(RunDir(task.run_path).stage_dir(1, 0).calls_file)
    return pickled


def loaded(task: TaskFiles, index: int) -> Any:
    with trust.opened(task.run_path) as run, open_calls(run, 1, 0) as calls:
        return payload.load(calls, index, None)[0]


def test_what_calls_share_is_stored_once(task: TaskFiles) -> None:
    table = {"values": list(range(20_000))}
    factor = 3

    def scaled(given: dict[str, list[int]], number: int) -> int:  # pickled by value
        return factor * given["values"][number]

    pickled = written(task, [Call(scaled, (table, i), {}) for i in range(100)])
    whole = len(pickled.content())
    one = len(payload.dump({"s": Call(scaled, (table, 0), {})}, LIMITS).content())
    assert len(pickled.shared) == 2
    assert whole < one + 100 * 400
    assert [loaded(task, i).result() for i in (0, 1, 99)] == [0, 3, 297]


def test_what_is_one_object_in_a_call_stays_one(task: TaskFiles) -> None:
    shared = [["x" * 300]]
    calls = [Call(lambda a, b: a is b[0], (shared, [shared, i]), {}) for i in range(3)]
    written(task, calls)
    assert loaded(task, 1).result() is True


def test_small_and_lonely_values_are_not_shared(task: TaskFiles) -> None:
    pickled = written(task, [Call(max, (i, "text", [i] * 1000), {"key": abs}) for i in range(10)])
    assert pickled.shared == {}
    assert loaded(task, 7).args == (7, "text", [7] * 1000)


def test_calls_are_copied_without_being_unpickled(task: TaskFiles) -> None:
    common = ["y" * 1000]
    before = written(task, [Call(len, (common,), {}), Call(max, (common, ["z"]), {})] * 2)
    assert before.shared
    with (task.folder / "calls").open("rb") as file:
        calls = CallFile(file)
        again = copied([(calls, 3), (calls, 0)], Limits(5, 1))
    again.write(task.folder / "calls")
    assert (loaded(task, 1).function, loaded(task, 0).function) == (len, max)
    with (task.folder / "calls").open("rb") as file:
        assert CallFile(file).limits == Limits(5, 1)


def test_step_that_cannot_be_pickled_is_named() -> None:
    bad = Call(print, (threading.Lock(),), {})
    with pytest.raises(PlanError, match="step 'b': its function or arguments cannot be pickled"):
        payload.dump({"a": Call(max, (1, 2), {}), "b": bad, "c": bad}, LIMITS)


@pytest.mark.parametrize("damage", ["empty", "foreign", "cut", "no such call"])
def test_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    content = PickledCalls([b"one", b"two"], {}, LIMITS).content()
    path = tmp_path / "calls"
    path.write_bytes(
        {"empty": b"", "foreign": b"x" * 100, "cut": content[:-1]}.get(damage, content)
    )
    with path.open("rb") as file, pytest.raises(RunError, match=r"calls (holds no|is not|has no)"):
        CallFile(file).call(2 if damage == "no such call" else 1)
