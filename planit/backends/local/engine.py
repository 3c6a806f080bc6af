"""The engine: runs a submission's steps as processes of this machine, until all have ended.

One single-threaded process per submission. It has imported what the plan's functions import, and
forks a child per step; a step with setup lines, and every step with ``isolation=spawn``, gets a
fresh interpreter instead. When the engine dies, however it dies, its steps die with it.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import json
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from planit.backends.local.board import Board, LocalTask
from planit.backends.local.children import (
    fork_step,
    signal_group,
    spawn_step,
    start_guardian,
)
from planit.backends.local.events import EventWriter, mark_of, path_of
from planit.backends.local.machine import Machine
from planit.backends.local.stages import read_stages
from planit.errors import PlanError, PlanitError
from planit.job.code import install_snapshot
from planit.job.ending import end_step
from planit.job.step import import_payload
from planit.nodes.functions import resolve
from planit.record import history as histories
from planit.record import trust
from planit.record.files import make_dir, read_json
from planit.record.lock import SIGN_OF_LIFE_S
from planit.record.markers import Attempt
from planit.record.rundir import RunDir
from planit.record.umask import closed_umask

_STOP_WAIT_S = 5.0
_POLL_S = 0.2


@dataclass
class _Child:
    """A running step."""

    task: LocalTask
    gpus: list[str]
    started: float
    out_of_time: bool = False
    cancelled: bool = False


@dataclass(repr=False)  # the signal module writes its handlers out, and this holds all steps
class Engine:
    """Runs one submission.

    Attributes:
        run: the run.
        number: the submission.
        settings: of the backend: cpus, gpus, mem_gb, isolation, kill_wait_s.
        owner: a descriptor that reads as closed when the process that wants the run is gone; -1
            for a run that goes on by itself.
    """

    run: RunDir
    number: int
    settings: Mapping[str, Any]
    owner: int = -1
    children: dict[int, _Child] = field(default_factory=dict)
    alarms: list[tuple[float, int, str, float]] = field(default_factory=list)
    draining: bool = False
    unwanted: bool = False

    def main(self) -> int:
        """Run everything; 0 if every step succeeded.

        Raises:
            PlanitError: a step can never run on this machine; nothing was started.
        """
        os.umask(closed_umask())  # of logs; a step gets the user's own back
        self.requests = make_dir(self.run.path / "local" / "requests")
        self.machine = Machine.found(self.settings)
        stages = read_stages(self.run, self.number)
        self.machine.refuse((stage.tasks[0].name, stage.request) for stage in stages)
        guardian = start_guardian(mark_of(self.run.path, self.number))
        wake, self.wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(self.wakeup, warn_on_full_buffer=False)
        self.events = EventWriter(path_of(self.run.path, self.number))
        self.private = [guardian, wake, self.wakeup, self.events.descriptor]
        self.private += [self.owner] if self.owner >= 0 else []
        self.board = Board(stages, self._blocked)
        self.context = read_json(self.run.context_file(self.number)) or {}
        self.forks = self.settings.get("isolation") != "spawn"
        if self.forks:
            self._warm_up()
        failed = self._loop(wake)
        os.close(guardian)  # which kills whatever steps have left running
        return 1 if failed else 0

    def _warm_up(self) -> None:
        """Import what the steps will import; what cannot be is left for the step to complain."""
        known = set(sys.path)
        sys.path += [entry for entry in self.context.get("sys_path", []) if entry not in known]
        install_snapshot(trust.opened(self.run.path), self.context.get("snapshot"))
        import_payload()
        for path in histories.functions(self.run.manifest["tree"]):
            with contextlib.suppress(PlanError):
                resolve(path)
        if threading.active_count() > 1:  # a fork would have the module, but not its threads
            self.forks = False
            sys.stderr.write("Importing the plan's functions has started threads: no forks\n")
        gc.collect()
        gc.freeze()  # so that forks share these pages

    def _loop(self, wake: int) -> bool:
        failed, signed = False, time.monotonic()
        while self.board.open:
            self._stop_if_unwanted()
            if time.monotonic() > signed + SIGN_OF_LIFE_S:
                signed = time.monotonic()
                self.events.sign_of_life()
            self._start_what_fits()
            if not self.children and not self.board.open:
                break
            pause = _POLL_S
            if self.alarms:
                pause = max(0.0, min(pause, self.alarms[0][0] - time.monotonic()))
            watched = [wake] + ([self.owner] if self.owner >= 0 else [])
            if wake in select.select(watched, [], [], pause)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            failed |= self._reap()
            self._ring()
            self._read_requests()
        return failed or self.draining

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self.unwanted = True

    def _stop_if_unwanted(self) -> None:
        """Whoever wants the run is gone, or somebody has sent SIGTERM."""
        if self.owner >= 0 and select.select([self.owner], [], [], 0)[0]:
            self.owner = -1
            self.unwanted = True
        if self.unwanted:
            self.unwanted = False
            self._stop(at_once=True)

    def _start_what_fits(self) -> None:
        while (task := self.board.next(self.machine.fits)) is not None:
            gpus = self.machine.take(task.stage.request)
            environment = self._environment(task, gpus)
            log = self.run.step_dir(task.slug) / f"{task.key}_0_log.out"
            if task.stage.script is not None:
                pid = spawn_step(environment, log, ["/bin/bash", task.stage.script])
            elif self.forks:
                pid = fork_step(environment, log, self.private)
            else:
                pid = spawn_step(
                    environment,
                    log,
                    [sys.executable, "-P", "-u", "-m", "planit.job.worker", "step"],
                )
            now = time.monotonic()
            self.children[pid] = _Child(task, gpus, now)
            heapq.heappush(self.alarms, (now + task.stage.wall_s, pid, "time", now))
            if task.stage.warn_s:
                heapq.heappush(self.alarms, (now + task.stage.warn_s, pid, "warn", now))
            self.events.write(task.key, "RUNNING", name=task.name, pid=pid)

    def _environment(self, task: LocalTask, gpus: list[str]) -> dict[str, str]:
        environment = {
            "PLANIT_RUN_DIR": str(self.run.path),
            "PLANIT_STEP": task.name,
            "PLANIT_STEP_DIR": str(self.run.step_dir(task.slug)),
            "PLANIT_SUBMISSION": str(self.number),
            "PLANIT_JOB": task.key,
            "PLANIT_RESTART": str(task.restarts),
        }
        if self.machine.gpus or task.stage.request.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        return environment

    def _reap(self) -> bool:
        """Take in every child that has ended; whether one of them failed."""
        failed = False
        while self.children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not pid:
                break
            child = self.children.pop(pid, None)
            if child is None:  # the guardian
                continue
            signal_group(pid, signal.SIGKILL)  # what the step left behind
            self.machine.give_back(child.task.stage.request, child.gpus)
            failed |= self._ended(child, os.waitstatus_to_exitcode(status))
        return failed

    def _ended(self, child: _Child, code: int) -> bool:
        task = child.task
        elapsed = round(time.monotonic() - child.started, 3)
        outcome, code = self._end_marker(task, code if code >= 0 else 128 - code)
        requeued = outcome == "requeued"
        if requeued and not child.cancelled and not self.draining:
            self.events.write(task.key, "PENDING", name=task.name)
            self.board.again(task)
            return False
        state = "COMPLETED" if code == 0 else "FAILED"
        if code != 0 and (child.cancelled or requeued):
            state = "CANCELLED"
        elif code != 0 and child.out_of_time:
            state = "TIMEOUT"
        self.events.write(task.key, state, name=task.name, elapsed_s=elapsed, exit_code=code)
        self.board.end(task, succeeded=code == 0)
        return code != 0

    def _end_marker(self, task: LocalTask, code: int) -> tuple[str, int]:
        """Outcome and exit code of a step whose process has ended; without a marker it failed."""
        attempt = Attempt(self.number, task.restarts)
        try:
            return end_step(self.run.step_dir(task.slug), attempt, code, job=task.key)
        except OSError as error:
            sys.stderr.write(f"{task.name}: its end could not be written: {error}\n")
            return "failed", code or 1

    def _blocked(self, task: LocalTask) -> None:
        self.events.write(task.key, "CANCELLED", name=task.name, blocked=True)

    def _ring(self) -> None:
        """Act on the times that have come: warn, end, and at last kill a step."""
        now = time.monotonic()
        while self.alarms and self.alarms[0][0] <= now:
            _, pid, what, started = heapq.heappop(self.alarms)
            child = self.children.get(pid)
            if child is None or child.started != started:  # it has ended
                continue
            if what == "warn":
                signal_group(pid, signal.SIGUSR2)
            elif what == "time":
                child.out_of_time = True
                self._terminate(pid, child)
            else:
                signal_group(pid, signal.SIGKILL)

    def _terminate(self, pid: int, child: _Child, *, most_s: float = math.inf) -> None:
        """Ask a step to end, and kill it if it does not."""
        signal_group(pid, signal.SIGTERM)
        end = time.monotonic() + min(most_s, self.settings["kill_wait_s"])
        heapq.heappush(self.alarms, (end, pid, "kill", child.started))

    def _read_requests(self) -> None:
        """Other processes ask by leaving a file: to cancel steps, to finish, to stop."""
        for path in sorted(self.requests.glob(f"{self.number}-*.json")):
            content = read_json(path) or {}
            path.unlink(missing_ok=True)
            if content.get("action") == "cancel":
                self._cancel(set(content.get("keys", ())))
            elif content.get("action") in ("finish", "stop"):
                self._stop(at_once=content["action"] == "stop")

    def _stop(self, *, at_once: bool) -> None:
        """Start nothing more; `at_once` ends what runs, too."""
        self.draining = True
        running = {child.task.key for child in self.children.values()}
        for task in self.board.tasks():
            if not task.ended and task.key not in running:
                self._take_out(task)
        if at_once:
            for pid, child in self.children.items():
                child.cancelled = True
                self._terminate(pid, child, most_s=_STOP_WAIT_S)

    def _cancel(self, keys: set[str]) -> None:
        for pid, child in self.children.items():
            if child.task.key in keys:
                child.cancelled = True
                self._terminate(pid, child)
        running = {child.task.key for child in self.children.values()}
        for task in self.board.tasks():
            if task.key in keys and not task.ended and task.key not in running:
                self._take_out(task)

    def _take_out(self, task: LocalTask) -> None:
        self.events.write(task.key, "CANCELLED", name=task.name)
        self.board.end(task, succeeded=False, ran=False)


def main(arguments: list[str]) -> int:
    """``python -m planit.backends.local RUN_DIR NUMBER SETTINGS OWNER``."""
    run_dir, number, settings, owner = arguments
    engine = Engine(RunDir(Path(run_dir)), int(number), json.loads(settings), int(owner))
    try:
        return engine.main()
    except PlanitError as problem:
        sys.exit(problem.message)
    except FileExistsError:
        sys.exit("the submission was taken back, or another engine has run it")
