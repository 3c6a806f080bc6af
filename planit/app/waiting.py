"""Waits for a run, and shows how far it is."""

from __future__ import annotations

import sys
from typing import Self

from planit.errors import StepsFailedError
from planit.run import Run
from planit.status.states import RunStatus
from planit.views.run_tree import counts_text, step_text


def wait_for(run: Run) -> int:
    """Block until every step is final, or none that is left can start by itself; the exit code.

    Ctrl-C stops the waiting and leaves the jobs alone.
    """
    last: list[RunStatus] = []
    try:
        with _Progress() as progress:

            def seen(status: RunStatus) -> None:
                last[:] = [status]
                progress.show(status)

            run.wait(on_status=seen)
    except StepsFailedError as error:
        for step in last[-1].steps:
            if step.name in error.failures:
                print(f"{step.name}  {step_text(step)}")
        print(f"Run {run.run_id}: {counts_text(last[-1].counts)}")
        if last[-1].is_stuck:
            print("What is left will not start by itself: see planit status", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"Stopped waiting; the jobs of run {run.run_id} go on: planit status shows them,"
            " planit cancel ends them",
            file=sys.stderr,
        )
        return 130
    print(f"Run {run.run_id}: {counts_text(last[-1].counts)}")
    return 0


class _Progress:
    """A bar on a terminal; elsewhere a line whenever something changed."""

    def __init__(self) -> None:
        self._said = ""
        self._bar = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True))
            self._task = self._bar.add_task("waiting", total=None)

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, status: RunStatus) -> None:
        text = counts_text(status.counts)
        if self._bar is not None:
            ended = sum(1 for step in status.steps if step.state.is_final)
            self._bar.update(self._task, total=len(status.steps), completed=ended, description=text)
        elif text != self._said:
            print(text, file=sys.stderr, flush=True)
        self._said = text
