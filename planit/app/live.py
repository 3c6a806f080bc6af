"""Shows a run that ends with this process while it runs, and what Ctrl-C does to it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from planit.backends.attached import AttachedRun, StepEvent
from planit.record import history as histories
from planit.record import log_files
from planit.record.run_dir import RunDir
from planit.run import Run
from planit.status.decide import SLURM_STATES
from planit.status.states import State, printable
from planit.views.run_tree import counts_text, status_text, step_text
from planit.views.signs import for_streams

if TYPE_CHECKING:
    from rich.console import RenderableType

_PAUSE_S = 0.2
_SHOWN = 12  # running steps with their last line
_MAX_IN_TREE = 40  # steps of a plan whose tree is shown while it runs


def follow(run: Run, attached: AttachedRun) -> int:
    """Show a run until its processes have ended; the exit code.

    The first Ctrl-C lets running steps finish and starts no more; the second ends them. Either
    way the run can be resumed.
    """
    show = _Live(run, attached) if _shows_motion() else _Plain(attached)
    asked = 0
    with _interrupts() as interrupts, show.on():
        while attached.is_running():
            show.update()
            if interrupts and asked == 0:
                show.note("Finishing the running steps; Ctrl-C again ends them")
                attached.finish()
                asked = 1
            elif len(interrupts) > 1 and asked == 1:
                show.note("Ending the running steps")
                attached.stop()
                asked = 2
            time.sleep(_PAUSE_S)
        show.update()
    status = run.status()
    for step in status.steps:
        if step.state.is_failure:
            print(f"{step.name}  {step_text(step)}")
    print(f"Run {status.run_id}: {counts_text(status.counts)}")
    if not status.succeeded:
        print("planit logs shows what failed steps wrote; planit resume goes on from here")
    return 130 if interrupts else 0 if status.succeeded else 1


def _shows_motion() -> bool:
    """Whether a person looks at a terminal that can be written over; CI systems fake one."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


@contextmanager
def _interrupts() -> Iterator[list[float]]:
    """The times of every Ctrl-C, which interrupts nothing: it may come at any point."""
    times: list[float] = []
    before = signal.signal(signal.SIGINT, lambda *_: times.append(time.monotonic()))
    try:
        yield times
    finally:
        signal.signal(signal.SIGINT, before)


class _Plain:
    """A line whenever a step starts or ends."""

    def __init__(self, attached: AttachedRun) -> None:
        self.attached = attached

    @contextmanager
    def on(self) -> Iterator[None]:
        yield

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def update(self) -> None:
        for event in self.attached.new_events():
            self.note(f"{_change(event)} {printable(event.name)}")


def _state(event: StepEvent) -> str:
    """A step's state as `planit status` names it."""
    return (State.BLOCKED if event.blocked else SLURM_STATES[event.state]).lower()


def _change(event: StepEvent) -> str:
    """What has happened to a step."""
    change = {"running": "started", "pending": "requeued"}.get(_state(event), _state(event))
    elapsed = event.elapsed_s if event.is_final else None
    return f"{change:<9} {elapsed:7.1f} s " if elapsed is not None else f"{change:<9} {'':9} "


class _Live:
    """The tree with states, a bar with an estimate, and the last line of each running step."""

    def __init__(self, run: Run, attached: AttachedRun) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

        self.attached = attached
        self.run = run
        self.directory = RunDir(run.path)
        self.history = histories.read(self.directory)
        columns = ("{task.description}", BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.bar = Progress(*columns)
        places = self.history.placements.values()
        total = sum(place.submission == attached.number for place in places)
        self.task = self.bar.add_task("", total=total)
        self.live = Live(self.bar, console=Console(stderr=True), refresh_per_second=5)
        self.last_note = ""
        self.shows_tree = len(self.history.leaves) <= _MAX_IN_TREE

    @contextmanager
    def on(self) -> Iterator[None]:
        with self.live:
            yield

    def note(self, text: str) -> None:
        self.last_note = text

    def update(self) -> None:
        self.attached.new_events()
        steps = self.attached.steps.values()
        counts = Counter(map(_state, steps))
        ended = sum(event.is_final for event in steps)
        shown = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
        self.bar.update(self.task, completed=ended, description=shown)
        running = [event for event in steps if event.state == "RUNNING"]
        self.live.update(self._body(running))

    def _body(self, running: list[StepEvent]) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        from planit.views.colors import colored

        lines: list[RenderableType] = [self.bar]
        if self.shows_tree:
            tree = status_text(self.run.status(), self.directory.manifest["tree"])
            lines.insert(0, colored(for_streams(tree, [sys.stderr])))
        for event in running[:_SHOWN]:
            log = log_files.main_log(self.directory, self.history, event.name)
            text = Text(f"  {event.name}  ", style="cyan", no_wrap=True, overflow="ellipsis")
            lines.append(text.append(_last_line(log), style="dim"))
        if len(running) > _SHOWN:
            lines.append(Text(f"  and {len(running) - _SHOWN} more"))
        if self.last_note:
            lines.append(Text(self.last_note, style="yellow"))
        return Group(*lines)


def _last_line(log: Path | None) -> str:
    if log is None:
        return ""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 500))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return printable(lines[-1]) if lines else ""
