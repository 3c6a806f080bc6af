"""The submitit jobs that a submission returns.

They are submitit's own `SlurmJob`, with these differences: a job knows its cluster; its state comes
from squeue first (sacct may be minutes behind, or not there at all), and has Slurm's words on this
machine too; its files are where planit's run directory has them, with one log for standard output
and error; what another user could have written is not unpickled; and a step succeeds whose return
value cannot be pickled, which only `result` then says.
"""

from __future__ import annotations

import os
import pickle
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from submitit import SlurmJob
from submitit.core.utils import DelayedSubmission, FailedJobError, JobPaths, UncompletedJobError

from planit.backends.base import refuse_left
from planit.backends.watcher import ClusterWatcher
from planit.errors import RunError
from planit.job.payload import NotPickled, load
from planit.record import trust
from planit.record.jobs import JobRef
from planit.record.markers import EndMarker, Outcome
from planit.record.stage_dir import StageDir, open_calls
from planit.record.task_files import TaskFiles, read_result

if TYPE_CHECKING:
    from submitit.slurm.slurm import SlurmInfoWatcher

_RESULT_POLL_S = 0.5
_RESULT_TIMEOUT_S = 15.0  # a network file system may show a result later than the end of its job
# Slurm has ended such a job, or never started it: it returned nothing that could still show.
_NO_RESULT = ("CANCELLED", "TIMEOUT", "DEADLINE", "BOOT_FAIL", "REVOKED")
_REPORTED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TERMINATED)


class StepPaths(JobPaths):
    """submitit's paths of a job, where planit keeps its files; rank None has no ranks beside it."""

    def __init__(self, files: TaskFiles, job_id: str, rank: int | None, script: Path) -> None:
        super().__init__(files.folder, job_id=job_id, task_id=rank)
        self._files = files
        self._rank = rank
        self._script = script

    @property
    def folder(self) -> Path:
        """The folder of the step's stage."""
        return self._files.folder

    @property
    def submitted_pickle(self) -> Path:
        """The calls of all steps of the stage."""
        return StageDir(self._files.run_path, self._files.submission, self._files.stage).calls_file

    @property
    def result_pickle(self) -> Path:
        """The record of the first attempt, which holds what it returned."""
        return self._files.result(0, self._rank or 0)

    @property
    def stdout(self) -> Path:
        return self._files.log(self._rank)

    @property
    def stderr(self) -> Path:
        return self.stdout

    @property
    def submission_file(self) -> Path:
        return self._script


class StepJob(SlurmJob[Any]):
    """A step of a plan as a submitit job.

    Standard output and error share one log, which `stdout` and `stderr` both return.

    Args:
        files: the step's files.
        ref: the job, or the task of an array.
        watcher: shared by the jobs of a cluster.
        name: the step's name.
        script: what sbatch was given.
        ranks: how many processes the step is started as.
        rank: which of them this is, if it is only one of them.
        packed: whether its job runs other steps too.

    Attributes:
        ranks: if there are several, a job for each.
    """

    def __init__(
        self,
        files: TaskFiles,
        ref: JobRef,
        watcher: ClusterWatcher,
        *,
        name: str,
        script: Path,
        ranks: int = 1,
        rank: int | None = None,
        packed: bool = False,
    ) -> None:
        self.packed = packed
        self.watcher = cast("SlurmInfoWatcher", watcher)
        self.name = name
        self.cluster = ref.cluster
        self.ranks = tuple(
            StepJob(files, ref, watcher, name=name, script=script, rank=one)
            for one in range(ranks)
            if ranks > 1
        )
        self._client = watcher.client
        self._record = files
        self._files = StepPaths(files, ref.job_id, rank, script)
        super().__init__(files.folder, ref.job_id, tasks=(rank or 0,))

    @property
    def paths(self) -> JobPaths:
        """The files of the job: log, payload, script and result."""
        return self._files

    @property
    def num_tasks(self) -> int:
        return len(self.ranks) or 1

    @property
    def task_id(self) -> int | None:
        """The rank, or None for several."""
        return None if self.ranks else super().task_id

    def task(self, task_id: int) -> StepJob:
        """The job of one rank. Raises ValueError if there is no such rank."""
        if not 0 <= task_id < self.num_tasks:
            raise ValueError(f"task_id {task_id} must be between 0 and {self.num_tasks - 1}")
        return self.ranks[task_id] if self.ranks else self

    def cancel(self, check: bool = True) -> None:
        """Cancel the job on its own cluster.

        Raises:
            SchedulerError: `check` is set and the job is not known to be gone.
            RunError: its job runs other steps too.
        """
        if self.packed:
            raise RunError(
                f"cannot cancel step {self.name!r}: it is packed in job {self.job_id} with others",
                hint="planit cancel, without a step, cancels the run",
            )
        left = self._client.cancel([JobRef(self.cluster, self.job_id)])
        if check:
            refuse_left(left)

    def done(self, force_check: bool = False) -> bool:
        """Whether the step has ended: its result is there, or the scheduler has it as ended."""
        if self.ranks:
            return all(job.done(force_check) for job in self.ranks)
        if self._has_result():
            return True
        mode = "force" if force_check else "standard"
        return self.watcher.is_done(self.job_id, mode=mode)

    def submission(self) -> DelayedSubmission:
        """The step's call. Raises RunError if another user could have written it."""
        record = self._record
        with (
            trust.opened(record.run_path) as run,
            open_calls(run, record.submission, record.stage) as calls,
        ):
            return load(calls, record.index, None)[0]

    def result(self) -> Any:
        """Wait for what the step returned; raises as `results` does."""
        values = self.results()
        assert not self.ranks, "use `results()`: the step has several ranks"
        return values[0]

    def results(self) -> list[Any]:
        """Wait for what each rank of the step returned.

        Raises:
            FailedJobError: the step failed, with its traceback.
            UncompletedJobError: it was cancelled or left no result, or that cannot be pickled.
            RunError: another user could have written it.
        """
        self.wait()
        if self.ranks:
            return [job.result() for job in self.ranks]
        outcome, value = self._read_result()
        if outcome == "error":
            raise self._failure(value)
        return [value]

    def exception(self) -> UncompletedJobError | None:
        """Wait for the end; what `results` would raise (of several ranks, the first failure).

        Raises:
            RunError: another user could have written the result.
        """
        self.wait()
        if self.ranks:
            return next((error for job in self.ranks if (error := job.exception())), None)
        try:
            outcome, value = self._read_result()
        except UncompletedJobError as error:
            return error
        return self._failure(value) if outcome == "error" else None

    def stdout(self) -> str | None:
        """What the step wrote; None if it has no log yet."""
        if self.ranks:
            logs = [log for job in self.ranks if (log := job.stdout()) is not None]
            return "\n".join(logs) if logs else None
        log = super().stdout()
        return "" if log is None and self._ended() is not None else log

    def stderr(self) -> str | None:
        """What the step wrote; the same as `stdout`."""
        return self.stdout()

    def _failure(self, trace: str) -> FailedJobError:
        where = f"step {self.name!r} (job {self.job_id}) failed; its log is {self.paths.stdout}"
        return FailedJobError(f"{where}\n{trace}")

    def _read_result(self) -> tuple[str, Any]:
        """Outcome ("success" or "error") and value; raises as `results` does without a result."""
        limit = time.monotonic() + _RESULT_TIMEOUT_S
        while (found := self._ended()) is None:
            if time.monotonic() > limit or self.state in _NO_RESULT:
                raise self._uncompleted(f"left no result ({self.state})")
            time.sleep(_RESULT_POLL_S)
        restart, end = found
        rank = int(self.task_id or 0)
        if rank and (own := self._record.reports(restart).get(rank)) is not None:
            end = own
        with trust.opened(self._record.run_path) as run:
            marker, content = read_result(run, self._record, restart, rank)
        if end.outcome is Outcome.TERMINATED:
            why = "" if end.error is None else f": {end.error.message}"
            raise self._uncompleted(f"ended before it returned ({self.state}){why}")
        if end.error is not None:
            return "error", end.error.traceback or end.error.message
        if not content:
            return "success", None if marker is None else marker.result
        value = pickle.loads(content)
        if isinstance(value, NotPickled):
            raise UncompletedJobError(
                f"step {self.name!r} (job {self.job_id}) succeeded, but what it returned cannot be"
                f" pickled: {value.why}"
            )
        return "success", value

    def _uncompleted(self, what: str) -> UncompletedJobError:
        wrote = f"; it wrote:\n{log}" if (log := self.stdout()) else ""
        return UncompletedJobError(f"step {self.name!r} (job {self.job_id}) {what}{wrote}")

    def _has_result(self) -> bool:
        return self._ended() is not None

    def _ended(self) -> tuple[int, EndMarker] | None:
        """The last attempt, if it reported its end and was not requeued."""
        with suppress(OSError):  # opening a folder refreshes it on a network file system
            os.close(os.open(self.paths.folder, os.O_RDONLY | os.O_DIRECTORY))
        found = self._record.newest_end()
        return found if found is not None and found[1].outcome in _REPORTED else None
