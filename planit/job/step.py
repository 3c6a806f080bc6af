"""The process of a step: makes the step's call and reports how that ended."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from planit.errors import StorageError, text_of
from planit.job import frozen
from planit.job.command import CommandFailedError
from planit.job.ending import EXIT_NO_SPACE, EXIT_REQUEUED, identity
from planit.job.gpu import GpuMemory
from planit.job.ranks import of_torch
from planit.job.step_logging import log_with_times
from planit.record import context, frozen_code
from planit.record.files import make_dir
from planit.record.frozen_code import CodeUsed
from planit.record.markers import EndMarker, Outcome, StartMarker, StepError
from planit.record.plain_data import plain_data
from planit.record.run_dir import CHECKPOINT
from planit.record.stage_dir import open_calls
from planit.record.task_files import TaskFiles, restart_count
from planit.record.trust import TrustedDir
from planit.record.umask import closed_umask

EXIT_SIGTERM = 128 + signal.SIGTERM
_SIGTERM_WAIT_S = 0.5
TRACE_CHARACTERS = 20_000


class Terminated(BaseException):
    """SIGTERM: cancelled, out of time or preempted. Lets the step's own clean-up run."""


class OpenedStep:
    """What of a run this job's step needs, opened before it is checked and run.

    Attributes:
        run: the run directory.
        context: of the submission.
        calls: the pickled calls of the stage.

    Raises:
        RunError: another user could have written it.
    """

    def __init__(self, run: TrustedDir) -> None:
        self.run = run
        task = TaskFiles.from_environment(run.path)
        self.context = context.read_trusted(run, task.submission)
        self.calls = open_calls(run, task.submission, task.stage)
        if run.holds(frozen_code.FOLDER):
            run.subdir(frozen_code.FOLDER).close()

    @cached_property
    def folder(self) -> TrustedDir:
        """The step's own folder, made if need be.

        Raises:
            RunError: another user could write to it.
        """
        path = os.environ["PLANIT_STEP_DIR"]
        below = os.path.relpath(path, os.environ["PLANIT_RUN_DIR"])
        make_dir(self.run.path / below)
        folder = self.run.subdir(below)
        if folder.holds(CHECKPOINT):
            folder.open(CHECKPOINT).close()
        return folder


def run_step(opened: OpenedStep) -> int:
    """Run this job's step in this process; its exit code. It reports; who waits for it ends it."""
    return _Step(opened).run()


class _Step:
    def __init__(self, opened: OpenedStep) -> None:
        self.opened = opened
        self.task = TaskFiles.from_environment(opened.run.path)
        self.pid = os.getpid()
        self.restart = restart_count()
        self.rank = int(os.environ.get("SLURM_PROCID", "0")) if _under_srun() else 0
        self.ranks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if _under_srun() else 1
        self.checkpoint = Path(os.environ["PLANIT_STEP_DIR"], CHECKPOINT)
        self.gpu = GpuMemory()
        self.requeued = False
        self.code = CodeUsed()
        self.umask = self.closed = closed_umask()

    def run(self) -> int:
        os.umask(self.closed)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # bash ignores it for its children
        started = time.time()
        if self.rank == 0:
            start = StartMarker(identity(), started, self.pid)
            self.task.write_start(self.restart, start)
        outcome, error, code, value = Outcome.FAILED, None, 1, None
        try:
            value = self._call()
            outcome, code = Outcome.SUCCEEDED, 0
        except CommandFailedError as problem:
            code, error = problem.exit_code, _error(problem)
        except SystemExit as stop:
            outcome, code = _read_exit(stop, requeued=self.requeued)
            error = None if code == 0 else _error(stop)
        except (Terminated, KeyboardInterrupt) as stop:
            outcome, code, error = Outcome.TERMINATED, EXIT_SIGTERM, _error(stop)
        except BaseException as problem:
            error = _error(problem)
            if os.getpid() == self.pid:
                _print(error.traceback)
            code = 128 - getattr(problem, "returncode", 0) if _is_killed_child(problem) else 1
        if os.getpid() != self.pid:
            return code  # a child that the step forked came back through here: it is not the step
        if outcome is Outcome.FAILED and code == EXIT_SIGTERM and _sigterm_follows():
            outcome = Outcome.TERMINATED
        try:
            self._finish(started, outcome, error, code, value)
        except StorageError as problem:
            _print(f"planit: its end could not be written: {problem.reason}\n")
            return EXIT_NO_SPACE
        return code

    def _call(self) -> Any:
        origin = self.opened.context
        self.umask = self.umask if origin.umask is None else origin.umask
        self.code = origin.code
        os.environ.update(of_torch(os.environ))
        frozen.extend_path(origin.sys_path)
        frozen.for_children(frozen.use(self.opened.run, origin.code))
        payload = import_payload()
        step = self.opened.folder
        with self.opened.calls as calls:
            call, limits = payload.load(calls, self.task.index, step)
        if not getattr(type(call.function), "logs_itself", False):
            log_with_times()
        self.gpu.start()
        os.umask(self.umask)
        if not payload.can_checkpoint(call.function):
            signal.signal(signal.SIGTERM, _terminate)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        return payload.run(call, limits, step, self._was_requeued)

    def _was_requeued(self) -> None:
        self.requeued = True

    def _finish(
        self, started: float, outcome: Outcome, error: StepError | None, code: int, value: Any
    ) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.umask(self.closed)
        with suppress(OSError, ValueError, AttributeError):  # the step may have closed it
            if self.rank == 0 and (new := frozen.new_beside(self.opened.run, self.code)):
                print(f"planit: {new}", file=sys.stderr)
        _flush_or_drop_streams()
        if outcome is Outcome.SUCCEEDED:
            with suppress(OSError):
                self.checkpoint.unlink()
        plain = plain_data(value)
        returned = b""
        if plain is None or not plain.exact:
            returned = import_payload().pickled_value(value)
        ended = time.time()
        report = EndMarker(
            outcome,
            code,
            identity(),
            started=started,
            ended=ended,
            elapsed_s=round(ended - started, 3),
            ranks=self.ranks,
            error=error,
            peak_memory_bytes=_peak_memory_bytes(),
            peak_gpu_memory_bytes=self.gpu.peak_bytes(),
            result=None if plain is None else plain.value,
        )
        self.task.write_report(self.restart, self.rank, report, returned)
        os.umask(self.umask)
        # The interpreter still has to end: a thread that hangs must not keep the job from ending.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def import_payload() -> Any:
    """Submitit is slow to import: the markers come first, and the local engine does it once."""
    from planit.job import payload

    return payload


def _under_srun() -> bool:
    return os.environ.get("SLURM_STEP_ID", "").isdigit()


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it may come several times: from Slurm, bash ...
    raise Terminated("terminated by SIGTERM: cancelled, out of time or preempted")


def _is_killed_child(problem: BaseException) -> bool:
    """Whether a child process of the step was ended by a signal."""
    return isinstance(problem, subprocess.CalledProcessError) and problem.returncode < 0


def _sigterm_follows() -> bool:
    """Whether the SIGTERM that ended a child was meant for the whole job, and has yet to come here.

    Slurm signals one process after another, and a child may end before its parent hears of it.
    """
    try:
        time.sleep(_SIGTERM_WAIT_S)
    except Terminated:
        return True
    return False


def _read_exit(stop: SystemExit, *, requeued: bool) -> tuple[Outcome, int]:
    """Submitit leaves with -1 after it has requeued its own job; a step may use sys.exit too."""
    if stop.code is None or stop.code == 0:
        return Outcome.SUCCEEDED, 0
    if stop.code == -1 and requeued:
        return Outcome.REQUEUED, EXIT_REQUEUED
    return Outcome.FAILED, stop.code & 0xFF or 1 if isinstance(stop.code, int) else 1


def _error(problem: BaseException) -> StepError:
    own = (str(Path(__file__).parents[1]), f"{os.sep}submitit{os.sep}core{os.sep}")
    trace = problem.__traceback__
    while trace is not None and any(part in trace.tb_frame.f_code.co_filename for part in own):
        trace = trace.tb_next  # the step's author wants to see the step's own frames
    shown = problem.with_traceback(trace) if trace is not None else problem
    trace_text = "".join(traceback.format_exception(shown))
    return StepError(type(problem).__name__, text_of(problem), trace_text[-TRACE_CHARACTERS:])


def _print(text: str) -> None:
    """Write to the log, even if the step has closed or replaced `sys.stderr`."""
    try:
        print(text, end="", file=sys.stderr or sys.__stderr__, flush=True)
    except Exception:
        with suppress(OSError):
            os.write(2, text.encode(errors="backslashreplace"))


def _flush_or_drop_streams() -> None:
    """Write out what is left, and keep what the step made of the streams from being a failure.

    Python ends with exit code 120 if it cannot flush them at the very end.
    """
    for name in ("stdout", "stderr"):
        try:
            getattr(sys, name).flush()
        except Exception:
            setattr(sys, name, None)


def _peak_memory_bytes() -> int:
    """The larger of this process's and its largest child's peak (getrusage gives KiB on Linux)."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whom) * 1024
