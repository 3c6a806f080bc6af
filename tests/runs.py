"""Runs for tests without jobs: submitted to the scheduler in memory, ended by markers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from planit import SlurmArgs, Step
from planit.nodes import Node
from planit.record import history as histories
from planit.record import tickets
from planit.record.history import History
from planit.record.markers import EndMarker, StartMarker
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from planit.status.run_status import run_status
from planit.status.states import RunStatus
from planit.submit.new import NewRun
from tests.memory import MemoryScheduler

ARGS = SlurmArgs("1:00:00", "batch")
BETA = SlurmArgs("2:00:00", "batch", cluster="beta")
NEWEST = 99


def a(name: str, args: SlurmArgs = ARGS) -> Step:
    """A step. Its function is not the project's, so that no sources are frozen for it."""
    return Step(name, time.sleep, args, 0)


def submitted(scheduler: MemoryScheduler, base: Path, root: Node, **more: Any) -> RunDir:
    """A new run."""
    return NewRun("p", root, base / "runs", scheduler, **more).start()[0]


def history(run: RunDir) -> History:
    return histories.read(run)


def status(run: RunDir, scheduler: MemoryScheduler, *, ask_all: bool = False) -> RunStatus:
    return run_status(RunDir(run.path), scheduler, ask_all=ask_all)


def states(run: RunDir, scheduler: MemoryScheduler) -> dict[str, str]:
    return {step.name: step.state.value for step in status(run, scheduler).steps}


def files_of(run: RunDir, name: str, submission: int = 1) -> TaskFiles:
    """The files of a step in a submission."""
    places = histories.read(run).places[name]
    (place,) = (place for place in places if place[0] == submission)
    return TaskFiles(run.path, *place)


def begin(run: RunDir, name: str, *, submission: int = 1, restart: int = 0) -> None:
    """Leave the start marker of a step."""
    files_of(run, name, submission).write_start(restart, StartMarker(started=1.0))


def end(
    run: RunDir,
    name: str,
    outcome: str = "succeeded",
    error: str | None = None,
    *,
    submission: int = 1,
    restart: int = 0,
    kind: str = "ValueError",
    **more: Any,
) -> None:
    """Leave the record of a step that has ended."""
    code = 0 if outcome == "succeeded" else 1
    content = {"outcome": outcome, "exit_code": code, "elapsed_s": 5.0, "host": "h1", **more}
    if error is not None:
        content["error"] = {"type": kind, "message": error, "traceback": f"Traceback: {error}"}
    marker = EndMarker.from_json({"started": 1.0, **content})
    assert marker is not None
    files_of(run, name, submission).write_end(restart, marker)


def events(run: RunDir, kind: str | None = None) -> list[dict[str, Any]]:
    """The events of a run's journal, or those of a kind."""
    found = list(run.journal.events())
    return [event for event in found if kind in (None, event["event"])]


def kept_events(run: RunDir, keep: Callable[[dict[str, Any]], bool]) -> None:
    """Leave only some events in a journal: what a process wrote before it was killed."""
    lines = [json.dumps(event) + "\n" for event in events(run) if keep(event)]
    run.journal.path.write_text("".join(lines), encoding="utf-8")


def killed_before_release(run: RunDir, scheduler: MemoryScheduler) -> None:
    """As if the submission had been killed when all jobs were in, before the ticket."""
    kept_events(run, lambda event: event["event"] != "released")
    tickets.path_of(run.path, 1).unlink()
    for key in [key for _, key in scheduler.jobs]:
        scheduler.set(key, "PENDING", reason="JobHeldUser")
