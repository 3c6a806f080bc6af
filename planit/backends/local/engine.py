"""The engine: runs a submission's steps as processes of this machine, until all have ended.

One single-threaded process per submission. It has imported what the plan's functions import, and
forks a child per step; a step with setup lines, and every step with ``isolation=spawn``, gets a
fresh interpreter instead. What a step leaves behind ends with the step, and when the engine dies,
however it dies, all its steps die with it (see `planit.backends.local.guardian`).
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
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from planit.backends.local.board import Board, LocalTask
from planit.backends.local.children import fork_step, signal_group, spawn_step
from planit.backends.local.descendants import Leftovers, children
from planit.backends.local.events import EventWriter
from planit.backends.local.machine import Machine
from planit.backends.local.workload import read_stages
from planit.errors import PlanError, PlanitError
from planit.job.code import install_snapshot
from planit.job.ending import end_step
from planit.job.step import import_payload
from planit.nodes.functions import resolve
from planit.record import context, fields, local_files, step_files, trust
from planit.record import history as histories
from planit.record.files import open_log
from planit.record.lock import SIGN_OF_LIFE_S
from planit.record.markers import Attempt, Outcome
from planit.record.run_dir import RunDir
from planit.record.umask import closed_umask

_STOP_WAIT_S = 5.0
_POLL_S = 0.2
_LEFTOVERS_POLL_S = 0.01
_YOUNG_S = 0.5  # far too short for Linux to give out all numbers of processes


@dataclass
class _Child:
    """A step whose process runs, or has just ended.

    Attributes:
        code: its exit code; a negative one is a signal.
    """

    task: LocalTask
    pid: int
    gpus: list[str]
    started: float
    elapsed_s: float = 0.0
    code: int = 0
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
        guardians: the processes above this one.
        children: steps that run, by pid.
        ending: steps that have ended, but may have left something.
    """

    run: RunDir
    number: int
    settings: Mapping[str, Any]
    owner: int = -1
    guardians: Sequence[int] = ()
    children: dict[int, _Child] = field(default_factory=dict)
    ending: list[_Child] = field(default_factory=list)
    leftovers: Leftovers = field(default_factory=Leftovers)
    kept: frozenset[int] = frozenset()
    failed: bool = False
    alarms: list[tuple[float, int, str, float]] = field(default_factory=list)
    draining: bool = False
    unwanted: bool = False

    def main(self) -> int:
        """Run everything; 0 if every step succeeded.

        Raises:
            PlanitError: a step can never run on this machine; nothing was started.
        """
        os.umask(closed_umask())  # of logs; a step gets the user's own back
        local_files.make(self.run.path)
        self.machine = Machine.found(self.settings)
        stages = read_stages(self.run, self.number)
        self.machine.refuse((stage.tasks[0].name, stage.request) for stage in stages)
        wake, self.wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(self.wakeup, warn_on_full_buffer=False)
        sizes = [(one.number, len(one.tasks) if one.is_array else None) for one in stages]
        self.events = EventWriter(
            local_files.events(self.run.path, self.number), self.guardians, sizes
        )
        self.private = [wake, self.wakeup, self.events.descriptor]
        self.private += [self.owner] if self.owner >= 0 else []
        self.board = Board(stages, self._blocked)
        self.context = context.read(self.run.path, self.number)
        self.forks = self.settings.get("isolation") != "spawn"
        if self.forks:
            self._warm_up()
        self.kept = frozenset(children())  # what imported modules have started
        self._loop(wake)
        return 1 if self.failed or self.draining else 0

    def _warm_up(self) -> None:
        """Import what the steps will import; what cannot be is left for the step to complain."""
        known = set(sys.path)
        sys.path += [entry for entry in self.context.sys_path if entry not in known]
        install_snapshot(trust.opened(self.run.path), self.context.snapshot)
        import_payload()
        for path in histories.functions(self.run.manifest["tree"]):
            with contextlib.suppress(PlanError):
                resolve(path)
        if threading.active_count() > 1:  # a fork would have the module, but not its threads
            self.forks = False
            sys.stderr.write("Importing the plan's functions has started threads: no forks\n")
        gc.collect()
        gc.freeze()  # so that forks share these pages

    def _loop(self, wake: int) -> None:
        signed = time.monotonic()
        while self.board.open:
            self._stop_if_unwanted()
            if time.monotonic() > signed + SIGN_OF_LIFE_S:
                signed = time.monotonic()
                self.events.sign_of_life()
            self._start_what_fits()
            if not self.board.open:
                break
            pause = _LEFTOVERS_POLL_S if self.ending else _POLL_S
            if self.alarms:
                pause = max(0.0, min(pause, self.alarms[0][0] - time.monotonic()))
            watched = [wake] + ([self.owner] if self.owner >= 0 else [])
            if wake in select.select(watched, [], [], pause)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            self._reap()
            self._ring()
            self._read_requests()

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
            try:
                pid = self._start(task, gpus)
            except (OSError, subprocess.SubprocessError) as problem:
                self._not_started(task, gpus, problem)
                continue
            now = time.monotonic()
            self.children[pid] = _Child(task, pid, gpus, now)
            heapq.heappush(self.alarms, (now + task.stage.wall_s, pid, "time", now))
            if task.stage.warn_s:
                heapq.heappush(self.alarms, (now + task.stage.warn_s, pid, "warn", now))
            self.events.write(task.key, "RUNNING", name=task.name, pid=pid)

    def _start(self, task: LocalTask, gpus: list[str]) -> int:
        """Start a step's process; its pid. Raises what can go wrong with files and processes."""
        environment = self._environment(task, gpus)
        log = open_log(self.run.step_dir(task.slug) / step_files.log(task.key))
        try:
            if task.stage.script is not None:
                return spawn_step(environment, log, ["/bin/bash", task.stage.script])
            if self.forks:
                return fork_step(environment, log, self.private)
            worker = [sys.executable, "-P", "-u", "-m", "planit.job.worker", "step"]
            return spawn_step(environment, log, worker)
        finally:
            os.close(log)

    def _not_started(self, task: LocalTask, gpus: list[str], problem: Exception) -> None:
        """A step whose folder, log or interpreter is missing fails; the others go on."""
        cause = f"it could not be started: {problem}"
        if isinstance(problem, OSError) and problem.filename is not None:
            cause = f"it could not be started: {problem.filename}: {problem.strerror}"
        self.machine.give_back(task.stage.request, gpus)
        self.events.write(task.key, "FAILED", name=task.name, cause=cause)
        self.failed = True
        self.board.end(task, succeeded=False)

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

    def _reap(self) -> None:
        """Take in the steps that have ended, as soon as nothing is left of them."""
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                child = self.children.pop(found[0], None)
                if child is None:  # something that a step has left
                    continue
                signal_group(child.pid, signal.SIGKILL)
                child.code = os.waitstatus_to_exitcode(found[1])
                child.elapsed_s = round(time.monotonic() - child.started, 3)
                self.ending.append(child)
        if self.ending and self._nothing_left():
            ended, self.ending = self.ending, []
            for child in ended:
                self.machine.give_back(child.task.stage.request, child.gpus)
                self._ended(child)

    def _nothing_left(self) -> bool:
        """End what steps have left, which comes here when they end; whether all of it has."""
        first = min(self.ending, key=lambda child: child.started)
        is_young = time.monotonic() < first.started + _YOUNG_S
        kept = self.kept | self.children.keys()
        return self.leftovers.end(kept, since=first.pid if is_young else None)

    def _ended(self, child: _Child) -> None:
        task, code = child.task, child.code
        outcome, code = self._end_marker(task, code if code >= 0 else 128 - code)
        requeued = outcome is Outcome.REQUEUED
        if requeued and not child.cancelled and not self.draining:
            self.events.write(task.key, "PENDING", name=task.name)
            self.board.again(task)
            return
        state = "COMPLETED" if code == 0 else "FAILED"
        if code != 0 and (child.cancelled or requeued):
            state = "CANCELLED"
        elif code != 0 and child.out_of_time:
            state = "TIMEOUT"
        more = {"elapsed_s": child.elapsed_s, "exit_code": code}
        self.events.write(task.key, state, name=task.name, **more)
        self.failed |= code != 0
        self.board.end(task, succeeded=code == 0)

    def _end_marker(self, task: LocalTask, code: int) -> tuple[Outcome, int]:
        """Outcome and exit code of a step whose process has ended; without a marker it failed."""
        attempt = Attempt(self.number, task.restarts)
        try:
            return end_step(self.run.step_dir(task.slug), attempt, code, job=task.key)
        except OSError as error:
            sys.stderr.write(f"{task.name}: its end could not be written: {error}\n")
            return Outcome.FAILED, code or 1

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
        for path, content in local_files.asked(self.run.path, self.number):
            if content.get("action") == "cancel":
                self._cancel(set(fields.texts(content, "jobs")))
            elif content.get("action") in ("finish", "stop"):
                self._stop(at_once=content["action"] == "stop")
            path.unlink(missing_ok=True)  # which tells those who wait that it was done

    def _stop(self, *, at_once: bool) -> None:
        """Start nothing more; `at_once` ends what runs, too."""
        self.draining = True
        self._take_out(self.board.tasks())
        if at_once:
            for pid, child in self.children.items():
                child.cancelled = True
                self._terminate(pid, child, most_s=_STOP_WAIT_S)

    def _cancel(self, jobs: set[str]) -> None:
        """Cancel steps by their ids or those of their stages."""

        def is_meant(task: LocalTask) -> bool:
            return task.key in jobs or task.key.partition("_")[0] in jobs

        for pid, child in self.children.items():
            if is_meant(child.task):
                child.cancelled = True
                self._terminate(pid, child)
        self._take_out(filter(is_meant, self.board.tasks()))

    def _take_out(self, tasks: Iterable[LocalTask]) -> None:
        """Cancel those steps that have not started."""
        begun = {child.task.key for child in (*self.children.values(), *self.ending)}
        for task in tasks:
            if not task.ended and task.key not in begun:
                self.events.write(task.key, "CANCELLED", name=task.name)
                self.board.end(task, succeeded=False, ran=False)


def main(arguments: Sequence[str], guardians: Sequence[int] = ()) -> int:
    """Run what the guardian's command line says: RUN_DIR NUMBER SETTINGS OWNER."""
    run_dir, number, settings, owner = arguments
    run = RunDir(Path(run_dir))
    engine = Engine(run, int(number), json.loads(settings), int(owner), guardians)
    try:
        return engine.main()
    except PlanitError as problem:
        sys.exit(problem.message)
    except FileExistsError:
        sys.exit("the submission was taken back, or another engine has run it")
