"""What a packed Slurm job runs: the engine, on what the job has, for the steps of its stage.

The job's exit code is 0 only if each of its steps has succeeded, by its end marker: by this code
Slurm releases what comes behind. A job that starts once more (requeued) runs what has not.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.backends.local.engine import Engine
from planit.backends.local.events import Events
from planit.backends.local.processes import StepProcess
from planit.backends.local.workload import LocalStage, LocalTask, packed_stages
from planit.backends.step_request import Request
from planit.errors import PlanitError, RunError
from planit.job import ending, gate
from planit.job.dependents import cancel_dependents
from planit.job.step import EXIT_SIGTERM
from planit.job.worker import EXIT_BLOCKED, EXIT_NOT_OF_RECORD, EXIT_UNTRUSTED
from planit.record import submissions, trust
from planit.record.files import close_log, is_shared
from planit.record.manifest_tree import leaves_of
from planit.record.markers import JOB_ENDED, TIME_LIMIT, EndMarker, Outcome, StepError
from planit.record.run_dir import RunDir
from planit.record.stage_dir import StageDir
from planit.record.submissions import SubmittedStage
from planit.record.task_files import TaskFiles, list_records
from planit.record.trust import TrustedDir
from planit.record.umask import closed_umask

_KILL_WAIT_S = 30.0  # Slurm's default
_SIGTERM_WAIT_S = 0.5


class _NoEvents:
    """Nobody follows a packed job: its steps' markers say everything."""

    descriptor = -1

    def write(self, key: str, state: str, **more: Any) -> None:
        """Nothing."""

    def sign_of_life(self) -> None:
        """Nothing."""


@dataclass
class PackedJob:
    """This job and its steps.

    Attributes:
        run: the run directory.
        place: the stage, and this task of its array.
        stage: the stage, as it was submitted.
        key: the job's id, as squeue shows it.

    Raises:
        RunError: the record cannot be read, or another user could have written it.
    """

    run: TrustedDir
    place: gate.Place
    stage: SubmittedStage
    key: str

    @classmethod
    def here(cls) -> PackedJob:
        """The job that this process is in."""
        run = trust.opened(Path(os.environ["PLANIT_RUN_DIR"]))
        close_log(shared=is_shared(run.fd))
        place = gate.Place.from_environment()
        stages = submissions.parsed(run.read_bytes(submissions.name_of(place.submission))) or []
        stage = next((one for one in stages if one.number == place.stage), None)
        if stage is None or not stage.packed:
            raise RunError(f"submission {place.submission} of {run.path} cannot be read")
        return cls(run, place, stage, ending.job_id())

    @property
    def number(self) -> int:
        """Its place in the array."""
        return self.place.index or 0

    @cached_property
    def tasks(self) -> list[int]:
        """The places of its steps in the stage."""
        own = [part for part in self.stage.packed if part.job == self.number]
        return [index for part in own for index in part.tasks]

    def files(self, index: int) -> TaskFiles:
        return TaskFiles(self.run.path, self.place.submission, self.place.stage, index)

    @cached_property
    def attempts(self) -> dict[int, int]:
        """The next attempt at each step that has not succeeded, by its place in the stage."""
        listed = list_records(self.run.path, self.place.submission, self.place.stage)
        found: dict[int, int] = {}
        for index in self.tasks:
            before = listed.get(index, [])
            end = self.files(index).end(before[-1]) if before else None
            if end is None or end.outcome is not Outcome.SUCCEEDED:
                found[index] = before[-1] + 1 if before else 0
        return found

    def check(self) -> int:
        """0 if the steps may run, else the exit code of the job."""
        names = [self.stage.tasks[index] for index in self.attempts]
        try:
            gate.check(self.place)
            gate.refuse_resubmitted(self.run.path, self.place.submission, names)
        except gate.NotOfRecordError as problem:
            _tell(f"not running: {problem}")
            return EXIT_NOT_OF_RECORD
        except gate.BlockedError as problem:
            _tell(f"blocked: {problem}")
            first = [part for part in self.stage.packed if not part.edges]
            for index in (index for part in first for index in part.tasks):
                if index in self.attempts:
                    files, attempt = self.files(index), self.attempts[index]
                    ending.write_blocked(files, attempt, str(problem))
            self.cancel_dependents()
            return EXIT_BLOCKED
        return 0

    def cancel_dependents(self) -> None:
        """Cancel the jobs that wait for steps of this one."""
        if os.environ.get("PLANIT_CANCELS") == "1":
            with contextlib.suppress(OSError, ValueError):
                cancel_dependents(self.place, list(self.attempts))

    def clean_up(self) -> None:
        """Remove the job's own log if it is empty."""
        stage = StageDir(self.run.path, self.place.submission, self.place.stage)
        log = stage.packed_log(None if self.place.index is None else str(self.place.index))
        with contextlib.suppress(OSError):
            if not log.stat().st_size:
                log.unlink()

    def settings(self) -> dict[str, Any]:
        """What the engine can give to steps: what Slurm has given to the job."""
        environ = os.environ
        cpus = int(environ.get("SLURM_CPUS_ON_NODE") or 0) or None
        per_cpu = int(environ.get("SLURM_MEM_PER_CPU") or 0) * (cpus or 1)
        memory_mb = int(environ.get("SLURM_MEM_PER_NODE") or 0) or per_cpu
        asked = Request.of(self.stage.name, self.stage.options)
        has_gpus = "CUDA_VISIBLE_DEVICES" in environ or asked.gpus > 0
        return {
            "cpus": cpus,
            "mem_gb": memory_mb / 1024 or None,
            "gpus": None if has_gpus else 0,
            "kill_wait_s": _KILL_WAIT_S,
        }


@dataclass(repr=False)
class PackedEngine(Engine):
    """Runs the steps of a packed job."""

    job: PackedJob | None = None

    @property
    def _job(self) -> PackedJob:
        assert self.job is not None
        return self.job

    def read_stages(self) -> list[LocalStage]:
        job = self._job
        tasks = StageDir(self.run.path, self.number, job.place.stage).tasks()
        python = shlex.quote(sys.executable)
        leaves = leaves_of(self.run.manifest["tree"])
        commands = {leaf["name"] for leaf in leaves if leaf["kind"] == "Command"}
        return packed_stages(job.stage, job.number, job.key, tasks, python, commands)

    def open_events(self) -> Events:
        return _NoEvents()

    def prepare(self) -> None:
        """Pass over what has succeeded before the job was requeued."""
        for task in (task for stage in self.stages for task in stage.tasks):
            if task.index in self._job.attempts:
                task.restarts = self._job.attempts[task.index]
            else:
                self.tracker.end(task, succeeded=True)

    def read_requests(self) -> None:
        """A packed job takes none: it is cancelled as a whole."""

    def ended_by(self, process: StepProcess) -> StepError | None:
        if process.out_of_time:
            return StepError(TIME_LIMIT, "exceeded its time limit")
        return StepError(JOB_ENDED, "ended with its job") if process.cancelled else None

    def terminated(self) -> None:
        """See whether the SIGTERM was meant for the whole job: it may be on its way here."""
        end = time.monotonic() + _SIGTERM_WAIT_S
        while not self.unwanted and time.monotonic() < end:
            time.sleep(_SIGTERM_WAIT_S / 50)
        self.draining |= self.unwanted  # which starts nothing more

    def environment(self, task: LocalTask, gpus: list[str]) -> dict[str, str]:
        more = {"SLURM_CPUS_PER_TASK": str(task.request.cpus)}
        return super().environment(task, gpus) | more

    def not_started(self, task: LocalTask, gpus: list[str], problem: Exception) -> None:
        cause = f"it could not be started: {getattr(problem, 'message', problem)}"
        end = EndMarker(
            Outcome.FAILED,
            1,
            ending.identity(task.key),
            ended=time.time(),
            error=StepError("Unstarted", cause),
        )
        with contextlib.suppress(OSError, PlanitError):
            self.files(task).write_end(task.restarts, end)
        super().not_started(task, gpus, problem)


def _tell(text: str) -> None:
    """Add a line to the job's log."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"planit: {text}\n")


def main(arguments: Sequence[str], guardians: Sequence[int] = ()) -> int:
    """Run this job (``packed``), or only say whether it may run (``packed-check``)."""
    os.umask(closed_umask())
    try:
        job = PackedJob.here()
        code = job.check()
        if code or arguments[0] == "packed-check":
            return code
        engine = PackedEngine(
            RunDir(job.run.path), job.place.submission, job.settings(), -1, guardians, job=job
        )
        code = engine.main()
    except RunError as refusal:
        _tell(f"refusing to run: {refusal}")
        return EXIT_UNTRUSTED
    except PlanitError as problem:
        sys.exit(f"planit: {problem.message}")
    if engine.draining:  # by SIGTERM. After any other code Slurm may not wait before a requeue.
        return EXIT_SIGTERM
    if code == 0:
        job.clean_up()
    else:
        del job.attempts  # what they are now
        job.cancel_dependents()
    return code
