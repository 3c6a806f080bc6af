"""From what a step's processes reported, and the exit code, to the end marker.

It is written by whoever waited for the process, when that has ended: only then nothing of the
step runs any more. Success takes both a report that says so and the exit code 0.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from planit.errors import StorageError
from planit.record.markers import EndMarker, JobIdentity, Outcome, StepError
from planit.record.task_files import TaskFiles

EXIT_REQUEUED = 85
EXIT_NO_SPACE = 74  # as EX_IOERR of sysexits.h: a process had no space to report its end
EXIT_SIGKILL = 137  # as a shell has it
_SHORT = 300  # characters of an error where there is no space
_LATE_S = 1.0  # a process that ends later than this after its report ended at another time
_TAIL_BYTES = 8192  # of a log: srun writes its lines last
_SRUN_ERROR = re.compile(r"^srun: error: \S+: tasks? (\d+)\S*: (.+)$", re.MULTILINE)
_BY_SLURM = ("Killed", "Out Of Memory", "Terminated")  # in these lines
_SIGNALLED = 128  # a shell's exit code for a process that signal n ended is 128 + n


def end_step(
    files: TaskFiles,
    restart: int,
    code: int,
    *,
    job: str | None = None,
    ended_by: StepError | None = None,
    or_retry: Callable[[EndMarker], EndMarker] | None = None,
) -> tuple[Outcome, int]:
    """Write the end marker of an attempt whose processes have ended.

    Args:
        files: the task's files.
        restart: which attempt.
        code: exit code of the process, or of what started its ranks; 128 + n for signal n.
        job: the job's id, where the environment does not say it.
        ended_by: why whoever waited for the processes has ended them, if they did.
        or_retry: makes of an end the marker of an attempt that is followed by another one, or adds
            why it is not.

    Returns:
        The outcome, and the exit code that the job must end with; 0 only for "succeeded".
    """
    reports = files.reports(restart)
    start = None if 0 in reports else files.start(restart)
    began = bool(reports) or start is not None
    verdict = _verdict(reports, code, began=began)
    if not began and code != EXIT_NO_SPACE:
        line = files.take_failed_line(restart)
        told = _last_line(files) if restart == 0 else ""  # later, the log has older lines
        verdict = _without_start(code, told) if line is None else _failed(*line, code)
    if verdict.outcome is Outcome.TERMINATED and restart == 0:  # later, the log has older lines
        verdict = _rank_without_report(files, reports) or verdict
    if ended_by is not None and verdict.outcome in (Outcome.TERMINATED, Outcome.KILLED):
        verdict = replace(verdict, error=ended_by)
    now = time.time()
    first = reports.get(0)
    if or_retry is not None and verdict.outcome is not Outcome.SUCCEEDED:
        verdict = or_retry(verdict)
    if first is not None and verdict is first and now - (first.ended or 0) < _LATE_S:
        files.end_with_report(restart)
        return first.outcome, first.exit_code
    end = replace(verdict, job=identity(job), ended=now)
    if first is not None:
        end = replace(
            end,
            started=first.started,
            elapsed_s=None if first.started is None else round(now - first.started, 3),
            ranks=first.ranks,
            peak_memory_bytes=first.peak_memory_bytes,
            peak_gpu_memory_bytes=first.peak_gpu_memory_bytes,
        )
    elif start is not None:
        end = replace(end, started=start.started)
    end = _write(files, restart, end)
    return end.outcome, end.exit_code


def _write(files: TaskFiles, restart: int, end: EndMarker) -> EndMarker:
    """Write an end marker, or a short one over the start marker if there is no space for it.

    What succeeded is then a failure: what it returned is lost, and what it wrote may be.

    Raises:
        StorageError: not even that can be written.
    """
    try:
        files.write_end(restart, end)
    except StorageError as problem:
        if end.outcome is Outcome.SUCCEEDED:
            end = replace(end, outcome=Outcome.FAILED, exit_code=1, error=unwritten(problem.reason))
        elif end.error is not None:
            short = StepError(end.error.type, end.error.message[:_SHORT])
            end = replace(end, error=short)
        try:
            files.overwrite_start(restart, end)
        except FileNotFoundError:  # nor was there space for the start marker
            raise problem from None
    return end


def unwritten(reason: str) -> StepError:
    """The error of a step of which nobody could write down how it ended."""
    return StepError("Unwritten", f"its end could not be written: {reason}")


def write_blocked(files: TaskFiles, restart: int, cause: str) -> None:
    """Write the end marker of a step that must not run."""
    error = StepError("Blocked", cause)
    end = EndMarker(Outcome.BLOCKED, 1, identity(), ended=time.time(), error=error)
    files.write_end(restart, end)


def identity(job: str | None = None) -> JobIdentity:
    """Which job this is, and where it runs."""
    return JobIdentity(
        job_id=job or job_id(),
        cluster=os.environ.get("SLURM_CLUSTER_NAME"),
        host=socket.gethostname(),
        node=os.environ.get("SLURMD_NODENAME"),
    )


def job_id() -> str:
    """The id of this job as squeue shows it: ``12``, or ``12_3`` for an array task."""
    if "PLANIT_JOB" in os.environ:
        return os.environ["PLANIT_JOB"]
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array:
        return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID", str(os.getpid()))


def _verdict(reports: Mapping[int, EndMarker], code: int, *, began: bool) -> EndMarker:
    """How the step ended: a rank's own report, or what its exit code means."""
    bad = [one for one in reports.values() if one.outcome is not Outcome.SUCCEEDED]
    if bad:
        first = min(bad, key=_importance)
        return first if first.exit_code == code else replace(first, exit_code=code or 1)
    ranks = max((one.ranks for one in reports.values()), default=1)
    if 0 in reports and len(reports) == ranks and code == 0:
        return reports[0]
    if reports and len(reports) == ranks:
        return _ended_badly(code, "after the function had returned")
    if not reports and (code == EXIT_NO_SPACE or not began):
        return EndMarker(Outcome.FAILED, 1, error=unwritten(os.strerror(errno.ENOSPC)))
    if code == 0:
        missing = [str(rank) for rank in range(ranks) if rank not in reports]
        which = f"rank {', '.join(missing)} of {ranks}" if ranks > 1 else "the process"
        how = "it left with os._exit, exec or the like"
        return _end(Outcome.FAILED, 1, "EndedEarly", f"{which} ended without a report: {how}")
    return _ended_badly(code, "before the function returned")


def _without_start(code: int, last_line: str) -> EndMarker:
    """The step's Python did not start, or not the step in it."""
    told = last_line or "see its log (setup lines, worker)"
    return _ended_badly(code or 1, f"before the step began: {told}")


def _failed(line: str, line_code: int, code: int) -> EndMarker:
    """A line of the step's environment failed, or was ended by a signal."""
    if named_signal(code - _SIGNALLED) is not None:
        return _ended_badly(code, f"in {line}")
    return _end(Outcome.FAILED, code or 1, "EndedEarly", f"{line}: exit code {line_code}")


def _importance(report: EndMarker) -> tuple[bool, bool, float]:
    """A rank that failed comes before those that were terminated because of it."""
    by_sigterm = report.error is not None and report.error.type == "Terminated"
    return report.outcome is not Outcome.FAILED, by_sigterm, report.ended or 0


def _rank_without_report(files: TaskFiles, reports: Mapping[int, EndMarker]) -> EndMarker | None:
    """How a rank ended that could not report it, and because of which srun ended the others.

    Where Slurm itself ended the ranks, it knows why.
    """
    first = _SRUN_ERROR.search(_tail(files))
    if first is None or int(first[1]) in reports or first[2] in _BY_SLURM:
        return None
    how = first[2][0].lower() + first[2][1:]
    return _end(Outcome.FAILED, 1, "EndedEarly", f"rank {first[1]} ended without a report: {how}")


def _tail(files: TaskFiles) -> str:
    """The end of the log; nothing if it cannot be read."""
    try:
        return files.log().read_bytes()[-_TAIL_BYTES:].decode(errors="replace")
    except OSError:
        return ""


def _last_line(files: TaskFiles) -> str:
    lines = [line.strip() for line in _tail(files).splitlines()]
    return next((line for line in reversed(lines) if line), "")[:_SHORT]


def named_signal(number: int) -> str | None:
    """``signal 11 (SIGSEGV)``; None if there is no such signal."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return None


def _ended_badly(code: int, when: str) -> EndMarker:
    number = code - _SIGNALLED
    name = named_signal(number)
    if name is None:
        return _end(Outcome.FAILED, code, "EndedEarly", f"ended with exit code {code} {when}")
    kinds = {signal.SIGTERM: Outcome.TERMINATED, signal.SIGKILL: Outcome.KILLED}
    kind = kinds.get(signal.Signals(number), Outcome.FAILED)
    word = "Terminated" if kind is Outcome.TERMINATED else "Killed"
    return _end(kind, code, word, f"ended by {name} {when}")


def _end(outcome: Outcome, code: int, kind: str, message: str) -> EndMarker:
    return EndMarker(outcome, code, error=StepError(kind, message, f"{kind}: {message}\n"))
