"""Damaged run folders: whatever is wrong in one, each verb says so in a line, or does its work."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit.status import decide
from tests.fuzz.tools import ESCAPE, VALUES, assert_told, fuzzed, places, replaced, tried
from tests.helpers import all_below
from tests.local.project import Project, chain, ended, parallel

VERBS = [
    ["status"], ["status", "--json"], ["status", "--all"], ["logs"], ["logs", "a"],
    ["logs", "c", "--tail", "2"], ["logs", "b", "--older"], ["logs", "b", "--path"], ["runs"],
    ["results"], ["results", "a", "--csv"], ["results", "--json"], ["results", "--sort", "-x"],
    ["wait"], ["cancel"], ["cancel", "b"], ["resume", "--dry-run"],
    ["resume", "--dry-run", "--from", "a"], ["resume", "backend.cpus=1"],
    ["resume", "--from", "a", "backend.cpus=1"],
    ["resume", "--dry-run", "plan.steps.b.slurm.time=10"],
]  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two runs: one that was resumed and has ended, and one whose submission was interrupted."""
    base = tmp_path_factory.mktemp("recorded")
    project = Project(base)
    two = {"slurm": {"cpus_per_task": 2}}
    steps: dict[str, dict[str, Any]] = {
        "a": {"func": "note", "path": "ran", **two},
        "b": {"func": "fail_once", "path": "tried", **two},
        "c": {"func": "fail", **two},
        "d": {"func": "nothing", **two},
    }
    project.plan(steps, chain("a", parallel("b", "c"), "d"))
    try:
        ended(project.submit("backend.cpus=2"))
        (base / "ran").unlink()
        project.planit("resume")
    finally:
        project.clean()
    run = project.run_dir()
    broken = base / "interrupted"
    shutil.copytree(run, broken)
    for name in ("local", "steps", "states.json", "submissions/1.jobs.json"):
        path = broken / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in broken.glob("s*/2*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in broken.glob("stages/*/*.json"):
        if path.name != "after.json":
            path.unlink()
    lines = (broken / "journal.jsonl").read_text().splitlines(keepends=True)
    kept = [line for line in lines if '"released"' not in line and '"number": 2' not in line]
    (broken / "journal.jsonl").write_text("".join(kept))
    return {"ended": run, "interrupted": broken}


@st.composite
def damages(draw: st.DrawFn, files: list[str]) -> tuple[str, Callable[[Path], None]]:
    """A file, and what happens to it."""
    name = draw(st.sampled_from(files))
    kind = draw(st.sampled_from(["json"] * 6 + ["text", "cut", "empty", "bytes", "none", "odd"]))
    if kind == "json":
        return name, _changed(draw)
    if kind == "text":
        text = draw(st.sampled_from(["null", "3", '"x"', "[]", "{}", "[[]]", "[" * 100_000]))
        return name, lambda path: _write(path, text.encode())
    if kind == "cut":
        share = draw(st.floats(0, 1))
        return name, lambda path: _write(path, path.read_bytes()[: int(share * _size(path))])
    if kind == "empty":
        return name, lambda path: _write(path, b"")
    if kind == "bytes":
        noise = draw(st.binary(max_size=20))
        return name, lambda path: _write(path, noise + ESCAPE.encode() + path.read_bytes())
    if kind == "none":
        return name, _remove
    return name, draw(st.sampled_from([_folder, _loop, _closed]))


def _changed(draw: st.DrawFn) -> Callable[[Path], None]:
    """A value of another type somewhere in a JSON document."""
    at, line, new = draw(st.integers(0, 500)), draw(st.integers(0, 30)), draw(VALUES)
    remove = draw(st.booleans()) and draw(st.booleans())

    def damage(path: Path) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        found = {}
        for number, text in enumerate(lines):
            try:
                found[number] = json.loads(text)
            except (RecursionError, ValueError):
                continue
        if not found:
            _write(path, json.dumps(new).encode())
            return
        number = list(found)[line % len(found)]
        ways = list(places(found[number]))
        changed = replaced(found[number], ways[at % len(ways)], new, remove=remove)
        lines[number] = json.dumps(changed).encode() + b"\n"
        path.write_bytes(b"".join(lines))

    return damage


def _size(path: Path) -> int:
    return path.stat().st_size


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _remove(path: Path) -> None:
    path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _loop(path: Path) -> None:
    """What nobody can read, root neither."""
    path.unlink()
    path.symlink_to(path.name)


def _closed(path: Path) -> None:
    path.chmod(0)


def _files(run: Path) -> list[str]:
    return [name for name in all_below(run) if (run / name).is_file()]


def test_a_damaged_run_gives_an_answer_or_one_clear_line(
    recorded: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    monkeypatch.setattr(decide, "LOST_AFTER_S", 0.0)
    files = {kind: _files(run) for kind, run in recorded.items()}
    base = tmp_path_factory.mktemp("damaged")
    project = next(iter(recorded.values())).parents[2]
    shutil.copytree(project / "conf", base / "conf")
    shutil.copy(project / "work.py", base)

    @fuzzed
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        kind = data.draw(st.sampled_from(["ended", "ended", "interrupted"]))
        some = data.draw(st.lists(damages(files[kind]), min_size=1, max_size=2))
        words = data.draw(st.sampled_from(VERBS))
        run = base / "planit_runs" / "p" / "20260101-000000-000-abcd"
        shutil.rmtree(base / "planit_runs", ignore_errors=True)
        shutil.copytree(recorded[kind], run)
        for name, damage in some:
            if (run / name).is_file() and not (run / name).is_symlink():
                damage(run / name)
                if name.startswith("local"):  # of another host's engine, the time is all there is
                    with contextlib.suppress(FileNotFoundError):
                        os.utime(run / name, (0, 0), follow_symlinks=False)
        done = tried(words, base)
        assert_told(done, raw_output=words[0] == "logs")

    check()
