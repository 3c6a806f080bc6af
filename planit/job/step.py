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
from pathlib import Path
from types import FrameType
from typing import Any

from planit.job.code import install_snapshot
from planit.job.command import CommandFailedError
from planit.job.ending import EXIT_REQUEUED, identity, job_id
from planit.job.gpu import GpuMemory
from planit.record import context, markers, step_files
from planit.record.context import Context
from planit.record.markers import Attempt, EndMarker, Outcome, StartMarker, StepError
from planit.record.run_dir import CODE
from planit.record.trust import TrustedDir
from planit.record.umask import closed_umask

EXIT_SIGTERM = 128 + signal.SIGTERM
_SIGTERM_WAIT_S = 0.5
TRACE_CHARACTERS = 20_000


class Terminated(BaseException):
    """SIGTERM: cancelled, out of time or preempted. Lets the step's own clean-up run."""


def run_step(run: TrustedDir, step: TrustedDir) -> int:
    """Run a step in this process; its exit code. The report is written, the end marker is not."""
    return _Step(run, step).run()


def refuse_untrusted(run: TrustedDir, step: TrustedDir) -> None:
    """Raise RunError if another user could have written what a step runs."""
    _context(run)
    step_files.open_call(step).close()
    if run.holds(CODE):
        run.subdir(CODE).close()


class _Step:
    def __init__(self, run: TrustedDir, step: TrustedDir) -> None:
        self.opened_run = run
        self.step = step
        self.step_dir = step.path  # a step may close all descriptors that it finds open
        self.pid = os.getpid()
        self.attempt = Attempt.from_environment()
        self.rank = int(os.environ.get("SLURM_PROCID", "0")) if _under_srun() else 0
        self.ranks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if _under_srun() else 1
        self.job_id = job_id()
        self.gpu = GpuMemory()
        self.requeued = False
        self.umask = self.closed = closed_umask()

    def run(self) -> int:
        os.umask(self.closed)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # bash ignores it for its children
        started = time.time()
        if self.rank == 0:
            start = StartMarker(identity(), started, self.pid)
            markers.write_start(self.step_dir, self.attempt, start)
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
                print(error.traceback, end="", file=sys.stderr, flush=True)
            code = 128 - getattr(problem, "returncode", 0) if _is_killed_child(problem) else 1
        if os.getpid() != self.pid:
            return code  # a child that the step forked came back through here: it is not the step
        if outcome is Outcome.FAILED and code == EXIT_SIGTERM and _sigterm_follows():
            outcome = Outcome.TERMINATED
        self._finish(started, outcome, error, code, value)
        return code

    def _call(self) -> Any:
        origin = _context(self.opened_run)
        known = set(sys.path)
        sys.path += [entry for entry in origin.sys_path if entry not in known]
        self.umask = self.umask if origin.umask is None else origin.umask
        install_snapshot(self.opened_run, origin.snapshot)
        payload = import_payload()
        return payload.run(self.step, self._prepare, self._was_requeued)

    def _was_requeued(self) -> None:
        self.requeued = True

    def _prepare(self, checkpoints: bool) -> None:
        self.gpu.start()
        os.umask(self.umask)
        if not checkpoints:
            signal.signal(signal.SIGTERM, _terminate)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def _finish(
        self, started: float, outcome: Outcome, error: StepError | None, code: int, value: Any
    ) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.umask(self.closed)
        with suppress(OSError, ValueError, AttributeError):  # the step may have closed it
            sys.stdout.flush()
        if outcome is not Outcome.REQUEUED:
            self._leave_result(outcome, error, value)
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
        )
        markers.write_report(self.step_dir, self.attempt, self.rank, report)
        os.umask(self.umask)
        # The interpreter still has to end: a thread that hangs must not keep the job from ending.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _leave_result(self, outcome: Outcome, error: StepError | None, value: Any) -> None:
        payload = import_payload()
        path = self.step_dir / step_files.result(self.job_id, self.rank)
        if outcome is Outcome.SUCCEEDED:
            payload.write_result(path, "success", value)
            with suppress(FileNotFoundError):
                (self.step_dir / step_files.CHECKPOINT).unlink()
        else:
            payload.write_result(path, "error", error.traceback if error else outcome.value)


def _context(run: TrustedDir) -> Context:
    return context.read_trusted(run, Attempt.from_environment().submission)


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
    return StepError(type(problem).__name__, _text_of(problem), trace_text[-TRACE_CHARACTERS:])


def _text_of(problem: BaseException) -> str:
    try:
        return str(problem)
    except Exception as error:
        return f"<its text cannot be shown: {type(error).__name__}>"


def _peak_memory_bytes() -> int:
    """The larger of this process's and its largest child's peak (getrusage gives KiB on Linux)."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whom) * 1024
