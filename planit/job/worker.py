"""What runs inside a job: ``python -m planit.job.worker``, told where by PLANIT_* variables.

It refuses what another user could have written, leaves markers, runs the step's call and ends
with its exit code. Slurm releases the steps behind it by that code and by nothing else.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
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
from planit.job.gpu import GpuMemory
from planit.record import markers
from planit.record.files import read_json, why_untrusted
from planit.record.markers import Attempt
from planit.record.umask import closed_umask

EXIT_UNTRUSTED = 126
EXIT_REQUEUED = 85
EXIT_SIGTERM = 128 + signal.SIGTERM
_SIGTERM_WAIT_S = 0.5
TRACE_CHARACTERS = 20_000


class Terminated(BaseException):
    """SIGTERM: cancelled, out of time or preempted. Lets the step's own clean-up run."""


def main() -> int:
    """Run the step that the environment names; the process's exit code."""
    closed = closed_umask()
    os.umask(closed)
    run_dir, step_dir = Path(os.environ["PLANIT_RUN_DIR"]), Path(os.environ["PLANIT_STEP_DIR"])
    reason = why_untrusted(_must_be_trusted(run_dir, step_dir))
    if reason is not None:
        print(f"planit: refusing to run this step: {reason}", file=sys.stderr, flush=True)
        return EXIT_UNTRUSTED
    return _Worker(run_dir, step_dir, closed).run()


def _must_be_trusted(run_dir: Path, step_dir: Path) -> list[Path]:
    """Whatever could make the worker load code: payloads, context, snapshot, and their folders."""
    paths = [run_dir, run_dir / "submissions", _context(run_dir), run_dir / "steps", step_dir]
    paths += [step_dir / "payload.pkl"]
    return paths + [p for p in (step_dir / "checkpoint.pkl", run_dir / "code") if p.exists()]


class _Worker:
    def __init__(self, run_dir: Path, step_dir: Path, closed: int) -> None:
        self.run_dir = run_dir
        self.step_dir = step_dir
        self.attempt = Attempt.from_environment()
        self.rank = int(os.environ.get("SLURM_PROCID", "0"))
        self.ranks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) if _under_srun() else 1
        self.job_id = _job_id()
        self.gpu = GpuMemory()
        self.requeued = False
        self.umask = self.closed = closed

    def run(self) -> int:
        started = time.time()
        self._mark("start", {"started": started, "pid": os.getpid()})
        outcome, error, code, value = "failed", None, 1, None
        try:
            value = self._call()
            outcome, code = "succeeded", 0
        except CommandFailedError as problem:
            code, error = problem.exit_code, _error(problem)
        except SystemExit as stop:
            outcome, code = _read_exit(stop, requeued=self.requeued)
            error = None if code == 0 else _error(stop)
        except (Terminated, KeyboardInterrupt) as stop:
            outcome, code, error = "terminated", EXIT_SIGTERM, _error(stop)
        except BaseException as problem:
            error = _error(problem)
            print(error["traceback"], end="", file=sys.stderr, flush=True)
            code = 128 - getattr(problem, "returncode", 0) if _is_killed_child(problem) else 1
        if outcome == "failed" and code == EXIT_SIGTERM and _sigterm_follows():
            outcome = "terminated"
        self._finish(started, outcome, error, code, value)
        return code

    def _call(self) -> Any:
        context = read_json(_context(self.run_dir)) or {}
        known = set(sys.path)
        sys.path += [entry for entry in context.get("sys_path", []) if entry not in known]
        self.umask = int(context.get("umask", self.umask))
        install_snapshot(self.run_dir / "code", context.get("snapshot"))
        payload = import_payload()
        return payload.run(self.step_dir, self._prepare, self._was_requeued)

    def _was_requeued(self) -> None:
        self.requeued = True

    def _prepare(self, checkpoints: bool) -> None:
        self.gpu.start()
        os.umask(self.umask)
        if not checkpoints:
            signal.signal(signal.SIGTERM, _terminate)
            signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    def _finish(
        self, started: float, outcome: str, error: dict[str, str] | None, code: int, value: Any
    ) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.umask(self.closed)
        sys.stdout.flush()
        if outcome != "requeued":
            self._leave_result(outcome, error, value)
        ended = time.time()
        usage = {
            "peak_memory_bytes": _peak_memory_bytes(),
            "peak_gpu_memory_bytes": self.gpu.peak_bytes(),
        }
        self._mark(
            "end",
            {
                "outcome": outcome,
                "exit_code": code,
                "started": started,
                "ended": ended,
                "elapsed_s": round(ended - started, 3),
                "ranks": self.ranks,
                "error": error,
                **usage,
            },
        )

    def _leave_result(self, outcome: str, error: dict[str, str] | None, value: Any) -> None:
        payload = import_payload()
        path = self.step_dir / f"{self.job_id}_{self.rank}_result.pkl"
        if outcome == "succeeded":
            payload.write_result(path, "success", value)
            with suppress(FileNotFoundError):
                (self.step_dir / payload.CHECKPOINT).unlink()
        else:
            payload.write_result(path, "error", error["traceback"] if error else outcome)

    def _mark(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "start" and self.rank:
            return
        head = {
            "job_id": self.job_id,
            "cluster": os.environ.get("SLURM_CLUSTER_NAME"),
            "host": socket.gethostname(),
            "node": os.environ.get("SLURMD_NODENAME"),
            "attempt": str(self.attempt),
        }
        markers.write(self.step_dir, kind, self.attempt, self.rank, {**head, **content})


def _context(run_dir: Path) -> Path:
    number = Attempt.from_environment().submission
    return run_dir / "submissions" / f"{number}.context.json"


def import_payload() -> Any:
    """Submitit is slow to import: the markers come first, and the local engine does it once."""
    from planit.job import payload

    return payload


def _under_srun() -> bool:
    return os.environ.get("SLURM_STEP_ID", "").isdigit()


def _job_id() -> str:
    if "PLANIT_JOB" in os.environ:
        return os.environ["PLANIT_JOB"]
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", str(os.getpid()))


def _terminate(_signal: int, _frame: FrameType | None) -> None:
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


def _read_exit(stop: SystemExit, *, requeued: bool) -> tuple[str, int]:
    """Submitit leaves with -1 after it has requeued its own job; a step may use sys.exit too."""
    if stop.code is None or stop.code == 0:
        return "succeeded", 0
    if stop.code == -1 and requeued:
        return "requeued", EXIT_REQUEUED
    return "failed", stop.code & 0xFF or 1 if isinstance(stop.code, int) else 1


def _error(problem: BaseException) -> dict[str, str]:
    own = (str(Path(__file__).parents[1]), f"{os.sep}submitit{os.sep}core{os.sep}")
    trace = problem.__traceback__
    while trace is not None and any(part in trace.tb_frame.f_code.co_filename for part in own):
        trace = trace.tb_next  # the step's author wants to see the step's own frames
    shown = problem.with_traceback(trace) if trace is not None else problem
    trace_text = "".join(traceback.format_exception(shown))
    return {
        "type": type(problem).__name__,
        "message": str(problem),
        "traceback": trace_text[-TRACE_CHARACTERS:],
    }


def _peak_memory_bytes() -> int:
    """The larger of this process's and its largest child's peak (getrusage gives KiB on Linux)."""
    whom = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(who).ru_maxrss for who in whom) * 1024


if __name__ == "__main__":
    sys.exit(main())
