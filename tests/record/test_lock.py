"""One writer per run, also when several find a dead owner's lock at the same moment."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from planit.errors import RunError
from planit.record import lock
from planit.record.lock import RunLock, owner_of
from tests.helpers import ROOT

RACER = """
import sys, time
from pathlib import Path
from planit.errors import RunError
from planit.record.lock import RunLock
folder = Path(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
try:
    with RunLock(folder):
        alone = folder / "alone"
        alone.mkdir()  # fails if somebody else is inside
        time.sleep(0.2)
        alone.rmdir()
        print("held")
except RunError:
    print("refused")
"""


def dead_owner(**more: object) -> str:
    """What the lock of a process that has ended says."""
    with subprocess.Popen(["true"]) as process:
        pid = process.pid
    return json.dumps({"host": socket.gethostname(), "pid": pid, "start": "1", **more})


def test_of_all_who_find_a_dead_owners_lock_one_at_a_time_gets_it(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "lock").write_text(dead_owner())
        racers = [
            subprocess.Popen(
                [sys.executable, "-c", RACER, str(tmp_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )
            for _ in range(6)
        ]
        for racer in racers:
            assert racer.stdout is not None
            assert racer.stdout.readline() == "ready\n"
        for racer in racers:
            assert racer.stdin is not None
            racer.stdin.write("go\n")
            racer.stdin.flush()
        said = [racer.communicate(timeout=30)[0].strip() for racer in racers]
        assert all(racer.returncode == 0 for racer in racers)
        assert "held" in said
        assert not (tmp_path / "lock").exists()


def test_late_comer_cannot_clear_a_fresh_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lock").write_text(dead_owner())
    link, has_read, may_clear = os.link, threading.Event(), threading.Event()

    def late_link(source: Path, target: Path) -> None:
        if threading.current_thread().name == "late":
            has_read.set()  # that the owner is dead
            assert may_clear.wait(10)
        link(source, target)

    refusals: list[str] = []

    def come_late() -> None:
        with pytest.raises(RunError) as refused:
            RunLock(tmp_path).__enter__()
        refusals.append(refused.value.message)

    monkeypatch.setattr(os, "link", late_link)
    late = threading.Thread(target=come_late, name="late")
    late.start()
    assert has_read.wait(10)
    with RunLock(tmp_path):
        may_clear.set()
        late.join(10)
        assert owner_of(tmp_path) == f"process {os.getpid()} on {socket.gethostname()}"
    assert len(refusals) == 1
    assert f"being worked on by process {os.getpid()}" in refusals[0]
    assert owner_of(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"host": "elsewhere", "pid": 1}', "{}"])
def test_foreign_or_torn_lock_holds_only_while_it_is_fresh(tmp_path: Path, text: str) -> None:
    path = tmp_path / "lock"
    path.write_text(text)
    if text != "{}":  # another host than this one: it cannot be known whether it lives
        with pytest.raises(RunError):
            RunLock(tmp_path).__enter__()
    old = time.time() - lock.DEAD_AFTER_S - 1
    os.utime(path, (old, old))
    with RunLock(tmp_path):
        assert owner_of(tmp_path) is not None


def test_number_of_another_process_does_not_keep_a_lock(tmp_path: Path) -> None:
    owner = {"host": socket.gethostname(), "pid": os.getpid(), "start": "12"}
    (tmp_path / "lock").write_text(json.dumps(owner))
    with RunLock(tmp_path):
        pass
    assert not (tmp_path / "lock").exists()
