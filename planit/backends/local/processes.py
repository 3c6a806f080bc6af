"""The processes of the steps that run: their time limits, and what is left when they end."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from planit.backends.local.children import signal_group
from planit.backends.local.descendants import Leftovers, children
from planit.backends.local.workload import LocalTask
from planit.job.out_of_memory import kernel_kills

_POLL_S = 0.2
_LEFTOVERS_POLL_S = 0.01
_YOUNG_S = 0.5  # far too short for Linux to give out all numbers of processes


@dataclass(eq=False, slots=True)
class StepProcess:
    """A step whose process runs, or has just ended.

    Attributes:
        gpus: the GPUs that it has.
        started: by the monotonic clock, in seconds.
        code: its exit code; a negative one is a signal.
        oom_kills: how many processes of this machine the kernel had ended for their memory before.
    """

    task: LocalTask
    pid: int
    gpus: list[str]
    started: float
    elapsed_s: float = 0.0
    code: int = 0
    out_of_time: bool = False
    cancelled: bool = False
    oom_kills: int = field(default_factory=kernel_kills)


class StepProcesses:
    """The steps that run or have just ended; other children that are there already are kept.

    Args:
        kill_wait_s: seconds from SIGTERM to SIGKILL.
    """

    def __init__(self, kill_wait_s: float) -> None:
        self._kill_wait_s = kill_wait_s
        self._kept = frozenset(children())
        self._by_pid: dict[int, StepProcess] = {}
        self._ending: list[StepProcess] = []  # they may have left something
        self._leftovers = Leftovers()
        self._alarms: list[tuple[float, int, StepProcess, Callable[[StepProcess], None]]] = []
        self._count = itertools.count()

    @property
    def running(self) -> list[StepProcess]:
        return list(self._by_pid.values())

    @property
    def pause_s(self) -> float:
        """How long nothing has to be done, unless a process ends."""
        pause = _LEFTOVERS_POLL_S if self._ending else _POLL_S
        if self._alarms:
            pause = max(0.0, min(pause, self._alarms[0][0] - time.monotonic()))
        return pause

    def add(self, task: LocalTask, pid: int, gpus: list[str]) -> None:
        """A step's process has been started."""
        process = self._by_pid[pid] = StepProcess(task, pid, gpus, time.monotonic())
        self._set_alarm(process.started + task.wall_s, process, self._time_out)
        if task.stage.warn_s:
            self._set_alarm(process.started + task.stage.warn_s, process, _warn)

    def terminate(self, process: StepProcess, max_wait_s: float = math.inf) -> None:
        """Ask a step to end, and kill it if it does not."""
        signal_group(process.pid, signal.SIGTERM)
        wait_s = min(max_wait_s, self._kill_wait_s)
        self._set_alarm(time.monotonic() + wait_s, process, _kill)

    def run_alarms(self) -> None:
        """Warn, end and kill the steps whose time has come."""
        now = time.monotonic()
        while self._alarms and self._alarms[0][0] <= now:
            _, _, process, action = heapq.heappop(self._alarms)
            if self._by_pid.get(process.pid) is process:
                action(process)

    def take_ended(self) -> list[StepProcess]:
        """The steps that have ended, as soon as nothing is left of them."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                process = self._by_pid.pop(found[0], None)
                if process is None:  # something that a step has left
                    continue
                _kill(process)
                process.code = os.waitstatus_to_exitcode(found[1])
                process.elapsed_s = round(time.monotonic() - process.started, 3)
                self._ending.append(process)
        if not self._ending or not self._end_leftovers():
            return []
        ended, self._ending = self._ending, []
        return ended

    def _end_leftovers(self) -> bool:
        """End what steps have left, which comes here when they end; whether all of it has."""
        first = min(self._ending, key=lambda process: process.started)
        is_young = time.monotonic() < first.started + _YOUNG_S
        kept = self._kept | self._by_pid.keys()
        return self._leftovers.end(kept, since=first.pid if is_young else None)

    def _set_alarm(
        self, when: float, process: StepProcess, action: Callable[[StepProcess], None]
    ) -> None:
        heapq.heappush(self._alarms, (when, next(self._count), process, action))

    def _time_out(self, process: StepProcess) -> None:
        process.out_of_time = True
        self.terminate(process)


def _warn(process: StepProcess) -> None:
    signal_group(process.pid, signal.SIGUSR2)


def _kill(process: StepProcess) -> None:
    signal_group(process.pid, signal.SIGKILL)
