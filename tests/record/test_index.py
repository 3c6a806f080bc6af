"""Which run a word means, and which run is the latest."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from planit.errors import RunError
from planit.record import index
from planit.record.run_dir import RunDir, new_run_id

OTHER = os.geteuid() + 1


def made(base: Path, plan: str, run_id: str, *, name: str | None = None) -> Path:
    """A recorded run."""
    folder = base / plan / run_id
    folder.mkdir(parents=True)
    RunDir(folder).write_manifest({"plan": name or plan, "tree": {"kind": "Chain", "children": []}})
    return folder


def found(base: Path, word: str | None = None, **more: Any) -> str:
    run = index.find([base], word, **more)
    return f"{run.path.parent.name}/{run.run_id}"


def refusal(base: Path, word: str, **more: Any) -> str:
    with pytest.raises(RunError) as caught:
        index.find([base], word, **more)
    return str(caught.value)


def test_runs_of_one_second_are_told_apart(tmp_path: Path) -> None:
    begun = [RunDir.create(tmp_path, f"p{i % 3}") for i in range(12)]
    for run in begun:
        run.write_manifest({"plan": "p", "tree": {}})
        # A run's folder changes for as long as somebody works on it.
    for run in reversed(begun):
        (run.path / "lock").touch()
    assert [run.path for run in index.all_runs(tmp_path)] == [run.path for run in reversed(begun)]
    assert index.latest([tmp_path]).path == begun[-1].path


def test_a_run_id_has_the_time_to_the_millisecond_and_a_random_end() -> None:
    ids = [new_run_id() for _ in range(50)]
    assert len(set(ids)) > 40  # two ends of 16 bits may be equal by chance
    day, clock, thousandth, end = ids[0].split("-")
    assert abs(time.mktime(time.strptime(day + clock, "%Y%m%d%H%M%S")) - time.time()) < 5
    assert (len(thousandth), len(end)) == (3, 4)
    assert [one[:19] for one in ids] == sorted(one[:19] for one in ids)


def test_ids_without_milliseconds_sort_by_when_the_run_was_recorded(tmp_path: Path) -> None:
    first = made(tmp_path, "p", "20261124-135919-ffff")
    second = made(tmp_path, "q", "20261124-135919-4122")
    os.utime(first / "manifest.json", ns=(0, 10))
    os.utime(second / "manifest.json", ns=(0, 20))
    made(tmp_path, "r", "20261124-135918-999-ffff")
    made(tmp_path, "r", "a copy of my own")
    assert [run.path.name for run in index.all_runs(tmp_path)] == [
        "20261124-135919-4122",
        "20261124-135919-ffff",
        "20261124-135918-999-ffff",
        "a copy of my own",
    ]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    base = tmp_path / "runs"
    made(base, "train", "20261124-135919-412-ac0a")
    made(base, "train", "20261124-135919-413-ac0a")
    made(base, "train_big", "20261125-000000-000-0000")
    return base


def test_a_word_is_an_id_a_plan_or_a_path(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(base / "train")
    assert found(base) == "train_big/20261125-000000-000-0000"
    assert found(base, "train") == "train/20261124-135919-413-ac0a"
    for word in (
        "20261124-135919-412-ac0a",
        "train/20261124-135919-412-ac0a",
        str(base / "train" / "20261124-135919-412-ac0a"),
        "./20261124-135919-412-ac0a",
    ):
        assert found(base, word) == "train/20261124-135919-412-ac0a"


def test_a_part_of_an_id_is_enough_if_no_other_has_it(base: Path) -> None:
    for word in ("20261125", "-000000-", "0-0000", "train_big/1125"):
        assert found(base, word) == "train_big/20261125-000000-000-0000"
    for word in ("train/20261124-135919-412", "412-ac0a", "-412"):
        assert found(base, word) == "train/20261124-135919-412-ac0a"
    means = "means 2 runs: train/20261124-135919-413-ac0a, train/20261124-135919-412-ac0a"
    for word in ("20261124", "ac0a", "train/2026"):
        assert refusal(base, word) == f"{word!r} {means} (type more of the id)"
    for word in ("412", "-", "-ac", "train_b/1125", "rain/20261124-135919-412-ac0a"):
        assert refusal(base, word).startswith(f"no run {word!r}")


def test_the_beginning_of_a_plans_name_means_nothing(base: Path) -> None:
    for word in ("tra", "train_", "train_bi"):
        assert refusal(base, word).startswith(f"no run {word!r} in ")
    assert "did you mean train_big?" in refusal(base, "train_bi")
    assert "an empty word is not a run" in refusal(base, "")


def test_plans_whose_names_share_a_folder_are_told_apart(base: Path) -> None:
    made(base, "my_plan", "20261124-000000-001-0000", name="my plan")
    made(base, "my_plan", "20261124-000000-002-0000", name="my_plan")
    made(base, "my_plan", "20261124-000000-003-0000", name="my/plan")
    for word, end in (("my plan", "001"), ("my_plan", "002"), ("my/plan", "003")):
        assert found(base, word) == f"my_plan/20261124-000000-{end}-0000"
    assert refusal(base, "my+plan").startswith("no run")


def test_a_word_that_means_two_runs_is_refused(base: Path) -> None:
    made(base, "other", "20261124-135919-412-ac0a")
    made(base, "20261125-000000-000-0000", "20261126-000000-000-0000")
    for word in ("20261124-135919-412-ac0a", "20261125-000000-000-0000"):
        assert refusal(base, word).startswith(f"{word!r} means 2 runs: ")
        assert refusal(base, word).endswith("(type plan/id)")


def test_of_many_runs_that_a_word_may_mean_five_are_named(tmp_path: Path) -> None:
    for number in range(5):
        made(tmp_path, "p", f"20261124-135919-41{number}-ac0a")
    assert refusal(tmp_path, "2026").count("p/2026") == 5
    assert "..." not in refusal(tmp_path, "2026")
    made(tmp_path, "p", "20261124-135919-415-ac0a")
    assert "means 6 runs: p/20261124-135919-415-ac0a, " in refusal(tmp_path, "2026")
    assert "p/20261124-135919-411-ac0a, ... (" in refusal(tmp_path, "2026")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give files away")
def test_what_somebody_else_planted_is_never_the_default(base: Path, tmp_path: Path) -> None:
    mine = "train_big/20261125-000000-000-0000"
    planted = made(base, "train", "20991231-000000-000-0000")
    os.chown(planted, OTHER, -1)
    same_id = made(base, "other", "20261125-000000-000-0000")
    os.chown(same_id, OTHER, -1)
    elsewhere = made(tmp_path, "elsewhere", "20991231-000000-001-0000")
    for name, target in (
        ("linked", elsewhere.parent),
        ("train_big/20991231-000000-002-0000", elsewhere),
    ):
        (base / name).symlink_to(target)
        os.lchown(base / name, OTHER, -1)
    assert found(base) == mine
    assert found(base, "20261125-000000-000-0000") == mine
    assert found(base, "train") == "train/20261124-135919-413-ac0a"
    assert found(base, "train_big") == mine
    assert index.all_runs(base)[0].path.name == "20991231-000000-002-0000"
    assert found(base, "train/20991231-000000-000-0000")  # asked for by name
