"""Odd ends of a step on three backends: what planit tells of it, and whether it released a step."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from planit import Run
from planit.errors import PlanitError
from tests.faults import odd
from tests.faults.odd import ENDS, End
from tests.faults.place import Place
from tests.faults.results import Case, Result, Violation, at_once_here, rng_of, run_cases
from tests.faults.steps import birth

CATEGORY, FULL = "ends", len(ENDS)
_FINAL_S = 75.0
_LEAVES_S = 4.0  # what a step leaves behind ends with it


def run(
    count: int,
    seed: int,
    folder: Path,
    base: Mapping[str, str],
    *,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Let `count` steps end oddly: all, or those that the seed chooses.

    This process's own environment must reach the Slurm too: states are asked for very often.
    """
    names = list(ENDS)
    if count < len(names):
        rng_of(CATEGORY, seed, 0).shuffle(names)
    cases = [
        Case(name, partial(_case, folder / f"{CATEGORY}{number}", base, ENDS[name]))
        for number, name in enumerate(names[:count])
    ]
    return run_cases(CATEGORY, seed, cases, at_once=at_once_here(6), only=only, say=say)


def _case(folder: Path, base: Mapping[str, str], end: End) -> Sequence[Violation]:
    places = {backend: Place(folder / backend, base) for backend in end.on}
    found: list[Violation] = []
    for backend, place in places.items():
        found += _named(backend, _submit(place, backend, end))
    ended: dict[str, str] = {}
    for backend, place in places.items():
        try:
            ended[backend], more = _watch(place, backend, end)
            found += _named(backend, more)
        finally:
            _clear(place, backend)
    done = {backend: state == "DONE" for backend, state in ended.items()}
    if len(set(done.values())) > 1 and not found:
        found.append(Violation("other", f"the backends do not agree: {ended}"))
    return found


def _named(backend: str, found: Sequence[Violation]) -> Iterator[Violation]:
    return (Violation(v.kind, f"{backend}: {v.text}") for v in found)


def _submit(place: Place, backend: str, end: End) -> Sequence[Violation]:
    script = place.folder / "script"
    script.mkdir()
    for name, text in end.files.items():
        (script / name).write_text(text.replace("'planted'", repr(str(place.folder / "planted"))))
    command = [sys.executable, "-P", "-m", "tests.faults.ends_drive", backend, end.name]
    done = subprocess.run(
        [*command, str(place.folder)],
        cwd=script,
        env=place.env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    (place.folder / "submitted").write_text(done.stdout + done.stderr)
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return [Violation("other", f"submission: {last}")] if done.returncode else []


def _watch(place: Place, backend: str, end: End) -> tuple[str, Sequence[Violation]]:
    """Look at it until it is final; its last state, and what was wrong."""
    if backend == "debug":
        told = place.folder / "states.json"
        state = json.loads(told.read_text())["odd"] if told.exists() else "no states"
        return state, _judged(place, end, state)
    found: list[Violation] = []
    if end.name == odd.REQUEUED:
        found += _requeued(place)
    state, early = _last_state(place, end)
    found += early
    time.sleep(1)  # whatever was released by mistake runs now
    if end.name == odd.REQUEUED and state == "DONE":
        place.verb("resume")
        _last_state(place, end, "behind")
    if end.on != odd.SLURM and backend == "local":
        found += _left_behind(place)
    return state, [*found, *_judged(place, end, state)]


def _last_state(place: Place, end: End, name: str = "odd") -> tuple[str, Sequence[Violation]]:
    """Look until the run is final. It must not seem final while the step's process still runs."""
    until = time.monotonic() + _FINAL_S
    early: list[Violation] = []
    state = "no run"
    while time.monotonic() < until:
        try:
            status = Run.open(base=place.runs).status()
        except PlanitError:
            time.sleep(1)
            continue
        state = str(status.step(name).state.value)
        alive = _alive(place.folder / "pids")
        if status.step(name).state.is_final and alive and not early and not end.forges:
            early.append(Violation("other", f"{state} while process {alive[0]} of it runs"))
        if status.is_final and not alive:
            return state, early
        time.sleep(0.4)
    words = f"not final after {_FINAL_S:g} s: {state}, processes {_alive(place.folder / 'pids')}"
    return state, [*early, Violation("other", words)]


def _alive(path: Path) -> list[int]:
    """The processes of the step that still run, of those that wrote themselves down."""
    written = path.read_text().splitlines() if path.exists() else []
    pairs = [line.split() for line in written]
    return [int(pid) for pid, born in pairs if birth(int(pid)) == born]


def _clear(place: Place, backend: str) -> None:
    """Leave no job, no engine and no process of a step."""
    place.clear()
    if backend == "local":
        place.verb("cancel")
    for name in ("pids", "left"):
        for pid in _alive(place.folder / name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _left_behind(place: Place) -> Sequence[Violation]:
    """On this machine what a step leaves behind ends with the step."""
    bare = place.folder / "left-pid"
    until = time.monotonic() + _LEAVES_S
    while time.monotonic() < until:
        left = _alive(place.folder / "left")
        if bare.exists() and birth(int(bare.read_text())) is not None:
            left.append(int(bare.read_text()))
        if not left:
            return []
        time.sleep(0.3)
    return [Violation("other", f"process {left[0]} outlives the step")]


def _judged(place: Place, end: End, state: str) -> Sequence[Violation]:
    done, released = state == "DONE", (place.folder / "behind").exists()
    found: list[Violation] = []
    if end.done is not None and done != end.done:
        found.append(Violation("other", f"{state}, and not {'DONE' if end.done else 'failed'}"))
    if released and not done:
        found.append(Violation("early", f"the step behind it ran, and it is {state}"))
    if released and done and end.done is False:
        found.append(Violation("early", "the step behind it ran"))
    if done and not released:
        found.append(Violation("other", "DONE, and the step behind it did not run"))
    if (place.folder / "planted").exists():
        found.append(Violation("foreign", "the planted module ran"))
    begun = place.folder / "pids"
    times = len(begun.read_text().splitlines()) if begun.exists() else 0
    if times > end.many:
        found.append(Violation("double", f"it ran {times} times"))
    return found


def _requeued(place: Place) -> Sequence[Violation]:
    """Requeue the failed job: while it is live it is not FAILED, and no resume submits it again."""
    _last_state(place, ENDS[odd.REQUEUED])
    job = Run.open(base=place.runs).status().step("odd").job
    place.slurm("scontrol", "requeue", str(job))
    found: list[Violation] = []
    status = Run.open(base=place.runs).status()
    live = place.slurm("squeue", "-h", "-t", "PENDING,RUNNING", "-j", str(job), "-o", "%T").strip()
    if live and status.step("odd").state.is_final:
        found.append(Violation("other", f"{status.step('odd').state.value}, and Slurm says {live}"))
    place.verb("resume")
    again = Run.open(base=place.runs).status().step("odd").job
    if again != job:  # the step behind it may be submitted again, to wait for it
        found.append(Violation("double", f"resume submitted it again beside {job}: {again}"))
    for _ in range(20):  # Slurm would wait two minutes
        reason = place.slurm("squeue", "-h", "-j", str(job), "-o", "%r").strip()
        if reason == "BeginTime":
            place.slurm("scontrol", "update", f"jobid={job}", "StartTime=now")
            break
        time.sleep(0.5)
    return found
