"""This machine as a backend. Nothing starts before `release`, which starts the engine.

Submission, status, cancel and resume are the same code as for Slurm.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from planit.backends.base import Dependency, StageOnDisk, Tagged, TaggedJob
from planit.backends.broken_lines import refuse_broken_lines
from planit.backends.configurable import Configurable
from planit.backends.job_variables import without_job_variables
from planit.backends.local import events
from planit.backends.local.client import KILL_WAIT_S, LocalClient, number_of
from planit.backends.local.engine_run import EngineRun
from planit.backends.local.machine import Machine
from planit.backends.shell import script_around
from planit.backends.step_request import Request
from planit.errors import (
    ConfigError,
    PlanError,
    SchedulerError,
    SubmissionError,
    suggest,
)
from planit.graph import Graph, Stage
from planit.job.ending import EXIT_NO_SPACE
from planit.nodes.step_environment import uses_pyxis
from planit.record import local_files
from planit.record.files import open_log, told_of
from planit.record.jobs import JobRef
from planit.record.run_dir import RunDir

_START_TIMEOUT_S = 60.0
_LEAVE_TIMEOUT_S = 5.0
_STEP_LEAVES_S = 1.0
_NO_LIMIT = 10**9
_ISOLATIONS = ("fork", "spawn")
# Inside a Slurm job step these name one of several tasks, which a step here is not.
_OF_A_RANK = ("SLURM_PROCID", "SLURM_STEP_ID", "SLURM_STEP_NUM_TASKS", "SLURM_CLUSTER_NAME")


def _still_running(run_path: Path) -> events.EngineStatus | None:
    """The engine of a run, if one still runs; one that is about to end is waited for.

    A step is done when it has left its marker, which is a moment before its process is gone.
    """
    began = time.monotonic()
    while True:
        engines = LocalClient(run_path).engines().values()
        alive = [engine for engine in engines if engine.is_alive]
        if not alive:
            return None
        states = {event["state"] for engine in alive for event in engine.states.values()}
        patience_s = _LEAVE_TIMEOUT_S if states <= events.FINAL else _STEP_LEAVES_S
        if time.monotonic() > began + patience_s:
            return alive[0]
        time.sleep(0.02)


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


@dataclass
class LocalBackend(Configurable):
    """Runs a plan on this machine.

    Attributes:
        cpus, gpus, mem_gb: what steps can have; by default what the machine has.
        isolation: "fork" starts steps from a warm interpreter, "spawn" each in a fresh one.
        kill_wait_s: seconds from SIGTERM to SIGKILL for a step that is out of time or cancelled;
            Slurm's KillWait, with the same default.
        python: shell words that start Python where a step has lines of its own around it.
        detach: whether runs go on when this process ends.

    Raises:
        ConfigError: a setting that is not of its kind.
    """

    cpus: int | None = None
    gpus: int | None = None
    mem_gb: float | None = None
    isolation: str = "fork"
    kill_wait_s: float = KILL_WAIT_S
    python: str = field(default_factory=lambda: shlex.quote(sys.executable))
    detach: bool = True
    run_path: Path | None = None
    engine: subprocess.Popen[bytes] | None = None
    _number: int = 0
    _hold: int = -1
    _submitted: dict[str, JobRef] = field(default_factory=dict)

    name: ClassVar[str] = "local"
    packs: ClassVar[bool] = False
    SETTINGS: ClassVar[tuple[str, ...]] = (
        "cpus", "gpus", "mem_gb", "isolation", "kill_wait_s", "python",
    )  # fmt: skip
    poll_interval_s: ClassVar[float] = 1.0  # polling costs nobody else anything

    def __post_init__(self) -> None:
        for key, minimum in (("cpus", 1), ("gpus", 0), ("mem_gb", 0), ("kill_wait_s", 0)):
            value = getattr(self, key)
            if value is None and key != "kill_wait_s":  # whatever the machine has
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or value < minimum:
                message = f"backend.{key} must be a number of at least {minimum}, not {value!r}"
                raise ConfigError(message)
        if self.isolation not in _ISOLATIONS:
            hint = suggest(str(self.isolation), _ISOLATIONS)
            raise ConfigError(f"backend.isolation={self.isolation} is unknown", hint=hint)

    @property
    def client(self) -> LocalClient:
        return LocalClient(self.run_path, self.kill_wait_s)

    def attached(self) -> LocalBackend:
        """The same backend, whose engines end with this process."""
        return replace(self, detach=False)

    def attached_run(self) -> EngineRun | None:
        """The engine that was started last, if it ends with this process."""
        if self.detach or self.engine is None:
            return None
        return EngineRun(self.client, self._number, self.engine)

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        """Refuse a step that can never run on this machine, and a second engine of one run.

        Two engines would share out the machine twice.

        Raises:
            PlanError: a step asks for too much, or this is not Linux.
            SubmissionError: an earlier submission of the run still runs.
        """
        if sys.platform != "linux":  # steps are found and ended by prctl and /proc
            raise PlanError(
                f"the local backend runs on Linux only, not on {sys.platform}",
                hint="backend=debug runs the plan in this process",
            )
        if run_path is not None and (engine := _still_running(run_path)) is not None:
            raise SubmissionError(
                f"the run is still going on here ({engine.name})",
                hint="planit wait, or planit cancel, and then resume",
            )
        for stage in graph.stages:
            refuse_broken_lines(stage.tasks[0].name, stage.resources.options)
            if uses_pyxis(stage.resources.options):
                raise PlanError(
                    f"step {stage.tasks[0].name!r}: pyxis is a plugin of srun's, which is not used"
                    " on this machine",
                    hint="container.runtime: apptainer",
                )
        named = [(stage.tasks[0].name, stage.resources.options) for stage in graph.stages]
        Machine.found(self.settings()).refuse(
            (name, Request.of(name, options)) for name, options in named
        )

    def open_run(self, run_path: Path) -> None:
        self.run_path = run_path
        self._submitted.clear()

    def default_cluster(self) -> str | None:
        """There is one machine."""
        return None

    def max_array_size(self, cluster: str | None) -> int:
        return _NO_LIMIT

    def cluster_name(self, cluster: str | None) -> str | None:
        """There is one machine, whatever the steps say."""
        return None

    def ranks(self, stage: Stage) -> int:
        """`check` refuses a step of several tasks."""
        return 1

    def script(self, stage: StageOnDisk) -> str:
        """What the engine starts a step by that has lines of its own around it."""
        options = stage.stage.resources.options
        launches = stage.stage.tasks[0].launches
        return script_around(options, self.python, launches=launches)

    def submit(
        self,
        script: Path,
        *,
        tag: str,
        cluster: str | None,
        after: Sequence[Dependency],
    ) -> JobRef:
        """Give the stage its id; the engine reads the rest from the run directory."""
        job = self._submitted[tag] = JobRef(None, tag.rpartition(":")[2])
        return job

    def tagged(self, prefix: str, clusters: Iterable[str | None]) -> Tagged:
        """The stages of all submissions whose engine was started, and those that wait for it here.

        A stage is live as long as the engine runs and has not ended each of its steps.
        """
        found: dict[str, TaggedJob] = {
            tag: TaggedJob(job, tag, live=True) for tag, job in self._submitted.items()
        }
        run = RunDir(self.run_path or Path())
        for engine in self.client.engines().values():
            alive = engine.is_alive
            for stage in engine.stages:
                tag = run.tag(*map(int, stage.split(".")))
                live = alive and not engine.is_over(stage)
                found[tag] = TaggedJob(JobRef(None, stage), tag, live)
        return Tagged(tuple(job for tag, job in found.items() if tag.startswith(prefix)))

    def confirm(self, prefix: str, jobs: Mapping[str, JobRef]) -> None:
        """The engine, which is not started yet, takes each stage once."""

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Start the engine of the jobs' submission, unless that was done.

        Raises:
            SchedulerError: it does not start.
            StorageError: it cannot write to the run.
        """
        path, client = self.run_path, self.client
        assert path is not None
        numbers = {number_of(job.job_id) for job in jobs}
        if not numbers:
            return
        (number,) = numbers
        if client.engine(number) is not None:
            return
        local_files.make(path)
        log = local_files.log(path, number)
        owner, self._hold = (-1, -1) if self.detach else os.pipe()
        command = [sys.executable, "-P", "-m", "planit.backends.local", str(path), str(number)]
        here = without_job_variables(os.environ, gpus=True)
        here = {k: v for k, v in here.items() if k not in _OF_A_RANK}
        with os.fdopen(open_log(log), "ab") as file:
            self.engine = subprocess.Popen(
                [*command, json.dumps(self.settings()), str(owner)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**here, events.MARK: secrets.token_hex(16)},
                pass_fds=[] if self.detach else [owner],
                start_new_session=True,
            )
        if owner >= 0:
            os.close(owner)
        self._number = number
        end = time.monotonic() + _START_TIMEOUT_S
        while client.engine(number) is None:
            if self.engine.poll() == EXIT_NO_SPACE:
                with told_of(log.parent):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.engine.poll() is not None or time.monotonic() > end:
                why = _last_line(log) or f"see {log}"
                raise SchedulerError(f"the local engine did not start: {why}")
            time.sleep(0.01)
        if self.detach:
            self.engine.returncode = 0  # it is not waited for, and may outlive this process

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        wanted = list(jobs)
        for tag, job in list(self._submitted.items()):
            if job in wanted:
                del self._submitted[tag]
        return self.client.cancel(wanted)
