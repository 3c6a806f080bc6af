"""The files of a task, in the folder of its stage; i is its index, r how often it was requeued.

::

    <i>.<r>.json            its record: a start marker, and in its place later the end marker
    <i>.<r>.rank<k>.json    how the call of one process ended: a report; that of the first becomes
                            the record, so the others stay where a step has several
    <i>.<r>.exit            between the lines around a step: its exit code, or the line that failed
    <i>.log                 what it wrote; the ranks of a step that has several write to <i>.<k>.log

The first line of a record is a marker as JSON, with what the step returned if that is plain data.
Behind it stands what the step returned, pickled, unless JSON holds all of it. Each file has one
writer at a time and is replaced as a whole. Names that end in ``_in_bash`` are for scripts.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import overwrite, write_atomic
from planit.record.markers import Attempt, EndMarker, Outcome, StartMarker, Tries
from planit.record.stage_dir import StageDir, stage_dirs, stage_name
from planit.record.trust import TrustedDir

# The marker of a step that succeeded holds this, as `json` writes it; in bash's quotes.
SUCCESS_IN_BASH = """'"outcome": "succeeded"'"""

_RECORD = re.compile(r"(\d+)\.(\d+)\.json")
_BLOCK_BYTES = 8192  # more than most markers have
_AHEAD = 3  # attempts without a record that are passed over when one is looked for by name


@dataclass(frozen=True)
class TaskFiles:
    """The files of one task of a stage; a single job is task 0."""

    run_path: Path
    submission: int
    stage: int
    index: int

    @classmethod
    def from_environment(cls, run_path: Path, environ: Mapping[str, str] = os.environ) -> TaskFiles:
        """Those of this job's task."""
        keys = ("PLANIT_SUBMISSION", "PLANIT_STAGE", "PLANIT_TASK")
        return cls(run_path, *(int(environ[key]) for key in keys))

    def clean_up(self, step_dir: Path, *, succeeded: bool) -> None:
        """Remove what an attempt left empty: the step's folder, and after success the log."""
        with suppress(OSError):
            step_dir.rmdir()
        with suppress(OSError):
            if succeeded and not self.log().stat().st_size:
                self.log().unlink()

    @cached_property
    def folder(self) -> Path:
        """The folder of the stage."""
        return StageDir(self.run_path, self.submission, self.stage).path

    def record(self, restart: int) -> Path:
        """The record of an attempt."""
        return self.folder / f"{self.index}.{restart}.json"

    def report(self, restart: int, rank: int) -> Path:
        """Where a process reports."""
        return self.folder / f"{self.index}.{restart}.rank{rank}.json"

    def result(self, restart: int, rank: int) -> Path:
        """Where what a process returned is kept once the attempt has ended."""
        return self.report(restart, rank) if rank else self.record(restart)

    def log(self, rank: int | str | None = None) -> Path:
        """The log; with `rank` that of one of several processes."""
        return self.folder / (f"{self.index}.log" if rank is None else f"{self.index}.{rank}.log")

    def logs(self) -> list[Path]:
        """The log, then those of the ranks, if there are any; the first may not exist (yet)."""
        ranks = re.compile(rf"{self.index}\.(\d+)\.log")
        found: dict[int, Path] = {}
        if not (self.log(0).exists() or self.log(1).exists()):
            return [self.log()]  # listing the folder of a large array takes longer
        with suppress(OSError):
            for name in os.listdir(self.folder):
                if match := ranks.fullmatch(name):
                    found[int(match[1])] = self.folder / name
        return [self.log(), *(found[rank] for rank in sorted(found))]

    def take_failed_line(self, restart: int) -> tuple[str, int] | None:
        """Which line before the step failed, and its exit code; None if none did. The file goes."""
        path = self.folder / f"{self.index}.{restart}.exit"
        try:
            line, _, code = path.read_text(errors="replace").strip("\n").rpartition("\t")
            path.unlink()
        except OSError:
            return None
        return (line, int(code)) if line and code.isdecimal() else None

    def write_start(self, restart: int, marker: StartMarker) -> None:
        """Begin the record of an attempt."""
        write_atomic(self.record(restart), _line(marker), flush=False)

    def start(self, restart: int) -> StartMarker | None:
        """When an attempt began, if it has."""
        return StartMarker.from_json(read_marker(self.record(restart)))

    def write_report(self, restart: int, rank: int, report: EndMarker, returned: bytes) -> None:
        """Write how the call of one process ended; `returned` is what it returned, pickled.

        That is empty where the report itself holds all of it.
        """
        write_atomic(self.report(restart, rank), _line(report) + returned)

    def reports(self, restart: int) -> dict[int, EndMarker]:
        """The reports by rank; the ranks that left none are missing."""
        found: dict[int, EndMarker] = {}
        first = EndMarker.from_json(read_marker(self.report(restart, 0)))
        if first is not None:
            found[0] = first
        if first is None or first.ranks > 1:
            names = re.compile(rf"{self.index}\.{restart}\.rank(\d+)\.json")
            with suppress(OSError):
                for name in os.listdir(self.folder):
                    if match := names.fullmatch(name):
                        report = EndMarker.from_json(read_marker(self.folder / name))
                        if report is not None:
                            found[int(match[1])] = report
        return found

    def end_with_report(self, restart: int) -> None:
        """Make the first process's report the record."""
        os.replace(self.report(restart, 0), self.record(restart))

    def write_end(self, restart: int, marker: EndMarker) -> None:
        """Make an end marker the record; the first process's report goes.

        What that process returned stays in the record, if the attempt succeeded.
        """
        returned = b""
        if marker.outcome is Outcome.SUCCEEDED:
            with suppress(OSError):
                returned = self.report(restart, 0).read_bytes().partition(b"\n")[2]
        write_atomic(self.record(restart), _line(marker) + returned)
        with suppress(OSError):
            self.report(restart, 0).unlink()

    def overwrite_start(self, restart: int, marker: EndMarker) -> None:
        """Write a short end marker over the start marker, where there is no space for another file.

        Raises:
            StorageError: that cannot be done either.
        """
        overwrite(self.record(restart), _line(marker))

    def final_outcome(self) -> Outcome | None:
        """How the newest attempt ended; None if that has not ended (yet)."""
        end = self.newest_end()
        return None if end is None else end[1].outcome

    def newest_end(self) -> tuple[int, EndMarker] | None:
        """The newest attempt and how it ended; None if that has not ended (yet).

        Records are opened by their names, because the listing of a folder on a network file system
        may be minutes old; it is only asked where no name that is tried exists.
        """
        first = self.end(0)
        succeeded = first is not None and first.outcome is Outcome.SUCCEEDED
        if first is not None and succeeded and not self.record(1).exists():
            return 0, first
        newest = self._newest(-1)
        if newest < 0:
            listed = list_records(self.run_path, self.submission, self.stage)
            newest = self._newest(max(listed.get(self.index, [-1])))
        end = self.end(newest) if newest >= 0 else None
        return None if end is None else (newest, end)

    def end(self, restart: int) -> EndMarker | None:
        """How an attempt ended, if it has."""
        return EndMarker.from_json(read_marker(self.record(restart)))

    def _newest(self, restart: int) -> int:
        """The newest attempt after `restart` that left a record, some without one passed over."""
        for later in range(restart + _AHEAD, restart, -1):
            if self.record(later).exists():
                return self._newest(later)
        return restart


def restart_count(environ: Mapping[str, str] = os.environ) -> int:
    """How often this job was requeued."""
    return int(environ.get("PLANIT_RESTART") or environ.get("SLURM_RESTART_COUNT") or "0")


def read_attempts(folder: Path, submission: int, index: int, restarts: Sequence[int]) -> Tries:
    """Attempts at a task, by their records in the stage's folder; a broken one is a problem."""
    starts: dict[Attempt, StartMarker] = {}
    ends: dict[Attempt, EndMarker] = {}
    problems: list[str] = []
    for restart in restarts:
        attempt = Attempt(submission, restart)
        path = f"{folder}/{index}.{restart}.json"  # many are read: a Path costs more than the rest
        content = read_marker(path)
        end = EndMarker.from_json(content)
        start = StartMarker.from_json(content) if end is None else StartMarker(end.job, end.started)
        if end is not None:
            ends[attempt] = end
        if start is not None and start.started is not None:
            starts[attempt] = start
        elif end is None and Path(path).exists():
            problems.append(f"{os.path.relpath(path, folder.parents[1])} is not readable")
    return Tries(starts, ends, tuple(problems))


def list_records(run_path: Path, submission: int, stage: int) -> dict[int, list[int]]:
    """The attempts that left a record, in order, by task; from one listing of the folder."""
    found: dict[int, list[int]] = defaultdict(list)
    with suppress(OSError):
        for name in os.listdir(StageDir(run_path, submission, stage).path):
            if match := _RECORD.fullmatch(name):
                found[int(match[1])].append(int(match[2]))
    for restarts in found.values():
        restarts.sort()
    return dict(found)


def has_records(run_path: Path, submission: int) -> bool:
    """Whether anything of a submission has ever started, or was told not to."""
    stages = [one.number for one in stage_dirs(run_path) if one.submission == submission]
    return any(list_records(run_path, submission, stage) for stage in stages)


def read_marker(path: Path | str) -> Any | None:
    """The JSON in the first line of a record; None if there is none, or it is not whole."""
    return read_record(path)[0]


def read_record(path: Path | str) -> tuple[Any | None, bool]:
    """The same, and whether there is more behind that line."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.read(handle, _BLOCK_BYTES)  # quicker than a file object, for thousands
            while b"\n" not in content and (more := os.read(handle, _BLOCK_BYTES)):
                content += more
            line, _, rest = content.partition(b"\n")
            has_more = bool(rest or os.read(handle, 1))
        finally:
            os.close(handle)
        return fields.parse(line), has_more
    except (OSError, ValueError):
        return None, False


def read_result(
    run: TrustedDir, files: TaskFiles, restart: int, rank: int
) -> tuple[EndMarker | None, bytes]:
    """How a process of an attempt ended, and what it returned, pickled.

    The pickle is empty where the marker's `result` is all that the process returned.

    Raises:
        RunError: another user could have written it.
    """
    path = files.result(restart, rank).relative_to(files.run_path)
    line, _, pickled = run.read_bytes(str(path)).partition(b"\n")
    with suppress(ValueError):
        return EndMarker.from_json(fields.parse(line)), pickled
    return None, pickled


def _line(marker: StartMarker | EndMarker) -> bytes:
    return json.dumps(marker.as_json()).encode() + b"\n"


def files_in_bash() -> str:
    """What the names of a task's files begin with, in a job's script."""
    return f"$PLANIT_RUN_DIR/{stage_name('$PLANIT_SUBMISSION', '$PLANIT_STAGE')}/$PLANIT_TASK"


def record_in_bash() -> str:
    """The record of this attempt, likewise."""
    return f"{files_in_bash()}.$PLANIT_RESTART.json"


def log_pattern(index: int | None) -> str:
    """The name of a log for sbatch, whose pattern %a is the index of an array's task."""
    return f"{'%a' if index is None else index}.log"


def rank_log_in_bash() -> str:
    """The log of a rank for srun, whose pattern %t it is."""
    return f"{files_in_bash()}.%t.log"


def exit_code_in_bash() -> str:
    """Where the step's exit code is kept while teardown lines run, likewise."""
    return f"{files_in_bash()}.$PLANIT_RESTART.exit"
