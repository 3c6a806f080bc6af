"""The engine: runs a submission's steps as processes of this machine, until all have ended.

One single-threaded process per submission. It has imported what the plan's functions import, and
forks a child per step; a step with setup lines, and every step with ``isolation=spawn``, gets a
fresh interpreter instead. What a step leaves behind ends with the step, and when the engine dies,
however it dies, all its steps die with it (see `planit.backends.local.guardian`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from planit.backends.local.children import fork_step, spawn_step
from planit.backends.local.events import Events, EventWriter
from planit.backends.local.local_retries import or_retry
from planit.backends.local.machine import Machine
from planit.backends.local.processes import StepProcess, StepProcesses
from planit.backends.local.warm_up import warm_up
from planit.backends.local.workload import ONE_PROCESS, LocalStage, LocalTask, read_stages
from planit.errors import PlanitError, RunError, StorageError
from planit.graph import Tracker
from planit.job.ending import EXIT_NO_SPACE, end_step, unwritten
from planit.job.retries import POLICY
from planit.record import context, fields, local_files
from planit.record.files import make_dir, open_log
from planit.record.lock import SIGN_OF_LIFE_S
from planit.record.markers import Outcome, StepError
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from planit.record.umask import closed_umask

_STOP_WAIT_S = 5.0


@dataclass(repr=False)  # the signal module writes its handlers out, and this holds all steps
class Engine:
    """Runs one submission.

    Attributes:
        run: the run.
        number: the submission.
        settings: of the backend: cpus, gpus, mem_gb, isolation, kill_wait_s.
        owner: a descriptor that reads as closed when the process that the run belongs to has
            ended; -1 for a run that goes on by itself.
        guardians: the processes above this one.
    """

    run: RunDir
    number: int
    settings: Mapping[str, Any]
    owner: int = -1
    guardians: Sequence[int] = ()
    failed: bool = False
    draining: bool = False
    unwanted: bool = False

    def main(self) -> int:
        """Run everything; 0 if every step succeeded.

        Raises:
            PlanitError: a step can never run on this machine; nothing was started.
        """
        os.umask(closed_umask())  # of logs; a step gets the user's own back
        self.machine = Machine.found(self.settings)
        self.stages = self.read_stages()
        self.machine.refuse((stage.tasks[0].name, stage.request) for stage in self.stages)
        wake, self.wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._on_sigterm)
        signal.set_wakeup_fd(self.wakeup, warn_on_full_buffer=False)
        self.events = self.open_events()
        self.private = [wake, self.wakeup, self.events.descriptor]
        self.private += [self.owner] if self.owner >= 0 else []
        self.tracker: Tracker[LocalTask] = Tracker(
            self.stages,
            rank=lambda task: -task.stage.remaining_s,
            needs=lambda task: (task.request, task.not_before),
        )
        self.context = context.read(self.run.path, self.number)
        self.forks = self.settings.get("isolation") != "spawn"
        if self.forks:
            self._warm_up()
        self.processes = StepProcesses(self.settings["kill_wait_s"])
        self.prepare()
        self._loop(wake)
        return 1 if self.failed or self.draining else 0

    def read_stages(self) -> list[LocalStage]:
        """What is to be run."""
        return read_stages(self.run, self.number)

    def open_events(self) -> Events:
        """Where the changes of the steps go."""
        local_files.make(self.run.path)
        sizes = [(one.number, len(one.tasks) if one.is_array else None) for one in self.stages]
        return EventWriter(local_files.events(self.run.path, self.number), self.guardians, sizes)

    def prepare(self) -> None:
        """Called before the first step is started."""

    def _warm_up(self) -> None:
        steps = {task.name for stage in self.stages for task in stage.tasks}
        if not warm_up(self.run, self.context, steps):
            self.forks = False
            _note("Importing the plan's functions has started threads: no forks")

    def _loop(self, wake: int) -> None:
        signed = time.monotonic()
        while self.tracker.open:
            self._stop_if_unwanted()
            if time.monotonic() > signed + SIGN_OF_LIFE_S:
                signed = time.monotonic()
                self.events.sign_of_life()
            self._start_what_fits()
            if not self.tracker.open:
                break
            watched = [wake] + ([self.owner] if self.owner >= 0 else [])
            if wake in select.select(watched, [], [], self.processes.pause_s)[0]:
                with contextlib.suppress(BlockingIOError):
                    os.read(wake, 4096)
            for process in self.processes.take_ended():
                self._ended(process)
            self.processes.run_alarms()
            self.read_requests()

    def _on_sigterm(self, _signal: int, _frame: FrameType | None) -> None:
        self.unwanted = True

    def _stop_if_unwanted(self) -> None:
        """The process that the run belongs to has ended, or somebody has sent SIGTERM."""
        if self.owner >= 0 and select.select([self.owner], [], [], 0)[0]:
            self.owner = -1
            self.unwanted = True
        if self.unwanted:
            self.unwanted = False
            self._stop(at_once=True)

    def _start_what_fits(self) -> None:
        def fits(task: LocalTask) -> bool:
            return task.not_before <= time.monotonic() and self.machine.fits(task.request)

        while (task := self.tracker.next(fits)) is not None:
            gpus = self.machine.take(task.request)
            try:
                pid = self._start(task, gpus)
            except (OSError, PlanitError, subprocess.SubprocessError) as problem:
                self.not_started(task, gpus, problem)
                continue
            self.processes.add(task, pid, gpus)
            self.events.write(task.key, "RUNNING", name=task.name, pid=pid)

    def _start(self, task: LocalTask, gpus: list[str]) -> int:
        """Start a step's process; its pid. Raises OSError or SubprocessError."""
        environment = self.environment(task, gpus)
        make_dir(self.run.step_dir(task.slug))
        log = open_log(self.files(task).log())
        try:
            if task.stage.command is not None:
                return spawn_step(environment, log, task.stage.command)
            if self.forks:
                return fork_step(environment, log, self.private)
            worker = [sys.executable, "-P", "-u", "-m", "planit.job.worker", "step"]
            return spawn_step(environment, log, worker)
        finally:
            os.close(log)

    def not_started(self, task: LocalTask, gpus: list[str], problem: Exception) -> None:
        """A step whose folder, log or interpreter is missing fails; the others go on."""
        cause = f"it could not be started: {getattr(problem, 'message', problem)}"
        if isinstance(problem, OSError) and problem.filename is not None:
            cause = f"it could not be started: {problem.filename}: {problem.strerror}"
        self.machine.give_back(task.request, gpus)
        self.failed = True
        self._end(task, "FAILED", cause=cause)

    def environment(self, task: LocalTask, gpus: list[str]) -> dict[str, str]:
        environment = {
            "PLANIT_RUN_DIR": str(self.run.path),
            "PLANIT_STEP": task.name,
            "PLANIT_STEP_DIR": str(self.run.step_dir(task.slug)),
            "PLANIT_SUBMISSION": str(self.number),
            "PLANIT_STAGE": str(task.stage.number),
            "PLANIT_TASK": str(task.index),
            "PLANIT_JOB": task.key,
            "PLANIT_RESTART": str(task.restarts),
            "SUBMITIT_FOLDER": str(self.files(task).folder),
            "SUBMITIT_LOCAL_JOB_ID": task.key,
            **ONE_PROCESS,
        }
        # A packed job may have one of its own.
        environment[POLICY] = json.dumps(task.stage.retry) if task.stage.retry else ""
        if self.machine.gpus or task.request.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
        return environment

    def _ended(self, process: StepProcess) -> None:
        """Nothing is left of a step: record its end, or let it start again."""
        task, code = process.task, process.code
        self.machine.give_back(task.request, process.gpus)
        code = code if code >= 0 else 128 - code
        outcome, code, cause = self._end_marker(process, code, self.ended_by(process))
        if outcome is Outcome.TERMINATED and not (process.cancelled or process.out_of_time):
            self.terminated()
        requeued = outcome is Outcome.REQUEUED
        if requeued and not process.cancelled and not self.draining:
            self.events.write(task.key, "PENDING", name=task.name)
            task.restarts += 1
            self.tracker.requeue(task)
            return
        state = "COMPLETED" if code == 0 else "FAILED"
        if code != 0 and (process.cancelled or requeued):
            state = "CANCELLED"
        elif code != 0 and process.out_of_time:
            state = "TIMEOUT"
        self.failed |= code != 0
        more = {} if cause is None else {"cause": cause}
        self._end(task, state, elapsed_s=process.elapsed_s, exit_code=code, **more)

    def _end(self, task: LocalTask, state: str, **more: Any) -> None:
        """A step has ended, and with it those that can never start because of that."""
        self.events.write(task.key, state, name=task.name, **more)
        for blocked in self.tracker.end(task, succeeded=state == "COMPLETED"):
            self.events.write(blocked.key, "CANCELLED", name=blocked.name, blocked=True)

    def _end_marker(
        self, process: StepProcess, code: int, ended_by: StepError | None
    ) -> tuple[Outcome, int, str | None]:
        """How a step whose process has ended did so, its exit code, and why it has no marker.

        Without a marker it failed.
        """
        task = process.task
        files = self.files(task)
        wanted = not (process.cancelled or self.draining)
        try:
            outcome, code = end_step(
                files,
                task.restarts,
                code,
                job=task.key,
                ended_by=ended_by,
                or_retry=or_retry(process, files, code, self.machine) if wanted else None,
            )
        except (OSError, RunError) as error:
            cause = unwritten(getattr(error, "reason", "") or str(error)).message
            _note(f"{task.name}: {cause}")
            return Outcome.FAILED, code or 1, cause
        succeeded = outcome is Outcome.SUCCEEDED
        files.clean_up(self.run.step_dir(task.slug), succeeded=succeeded)
        return outcome, code, None

    def ended_by(self, process: StepProcess) -> StepError | None:
        """What the end marker of a step that the engine has ended says of that; None: the signal.

        Here the events tell it.
        """
        return None

    def terminated(self) -> None:
        """Called when a step was ended by a SIGTERM of somebody else's."""

    def files(self, task: LocalTask) -> TaskFiles:
        return TaskFiles(self.run.path, self.number, task.stage.number, task.index)

    def read_requests(self) -> None:
        """Other processes leave a file for each request: to cancel steps, to finish, to stop."""
        for path, content in local_files.asked(self.run.path, self.number):
            if content.get("action") == "cancel":
                self._cancel(set(fields.texts(content, "jobs")))
            elif content.get("action") in ("finish", "stop"):
                self._stop(at_once=content["action"] == "stop")
            path.unlink(missing_ok=True)  # which tells those who wait that it was done

    def _stop(self, *, at_once: bool) -> None:
        """Start nothing more; `at_once` ends what runs, too."""
        self.draining = True
        self._cancel_waiting(lambda _task: True)
        if at_once:
            for process in self.processes.running:
                process.cancelled = True
                self.processes.terminate(process, _STOP_WAIT_S)

    def _cancel(self, jobs: set[str]) -> None:
        """Cancel steps by their ids or those of their stages."""

        def is_meant(task: LocalTask) -> bool:
            return task.key in jobs or task.key.partition("_")[0] in jobs

        for process in self.processes.running:
            if is_meant(process.task):
                process.cancelled = True
                self.processes.terminate(process)
        self._cancel_waiting(is_meant)

    def _cancel_waiting(self, is_meant: Callable[[LocalTask], bool]) -> None:
        for stage in self.stages:
            for task in stage.tasks:
                if is_meant(task) and self.tracker.is_waiting(task):
                    self._end(task, "CANCELLED")


def _note(text: str) -> None:
    """Add a line to the engine's log, if there is space for it."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{text}\n")


def main(arguments: Sequence[str], guardians: Sequence[int] = ()) -> int:
    """Run the submission of the guardian's command line: RUN_DIR NUMBER SETTINGS OWNER."""
    run_dir, number, settings, owner = arguments
    run = RunDir(Path(run_dir))
    engine = Engine(run, int(number), json.loads(settings), int(owner), guardians)
    try:
        return engine.main()
    except StorageError as problem:
        _note(problem.message)
        return EXIT_NO_SPACE
    except PlanitError as problem:
        sys.exit(problem.message)
    except FileExistsError:
        sys.exit("the submission was taken back, or another engine has run it")
