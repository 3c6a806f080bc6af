"""The submitit jobs that a submission returns.

They are submitit's own `SlurmJob`, with four differences: a job knows its cluster, its state comes
from squeue first (sacct may be minutes behind, or not there at all), its files are where planit's
run directory has them, and what another user could have written is not unpickled.
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
from planit.errors import SchedulerError
from planit.job.payload import load
from planit.record import trust
from planit.record.jobs import JobRef, JobView
from planit.record.markers import EndMarker, Outcome
from planit.record.stage_dir import StageDir
from planit.record.task_files import TaskFiles, read_result

if TYPE_CHECKING:
    from submitit.slurm.slurm import SlurmInfoWatcher

    from planit.backends.base import Client

_MIN_POLL_S, _MAX_POLL_S = 2.0, 5.0
_RESULT_POLL_S = 0.5
_RESULT_TIMEOUT_S = 15.0  # a network file system may show a result later than the end of its job
_REPORTED = (Outcome.SUCCEEDED, Outcome.FAILED, Outcome.TERMINATED)
_LOST_AFTER_S = 120.0  # a job without any answer for so long is lost


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
        """The record of the first attempt, which ends with what it returned."""
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


class ClusterWatcher:
    """The states of all registered jobs of a cluster, by one squeue and at most one sacct call.

    Its methods are those that submitit's jobs call on their watcher. `mode` is "force" (ask now),
    "standard" (ask if the last answer is some seconds old) or "cache" (do not ask).
    """

    def __init__(self, client: Client, cluster: str | None) -> None:
        self.client = client
        self._cluster = cluster
        self._states: dict[str, str] = {}
        self._missing_since: dict[str, float] = {}
        self._registered = self._asked = 0.0

    def register_job(self, job_id: str) -> None:
        """Ask for this job too, from the next time on, which is now."""
        self._states.setdefault(job_id, "UNKNOWN")
        self._registered, self._asked = time.time(), 0.0

    def get_state(self, job_id: str, mode: str = "standard") -> str:
        """The state in Slurm's words; "UNKNOWN" without an answer, "LOST" after two minutes."""
        if job_id not in self._states:
            self.register_job(job_id)
        age = time.time() - self._registered  # asked less often, the older the youngest job is
        pause = {"force": 0.0, "standard": min(_MAX_POLL_S, max(_MIN_POLL_S, age / 2))}
        if mode != "cache" and time.time() - self._asked >= pause[mode]:
            self._update()
        return self._states[job_id]

    def get_info(self, job_id: str, mode: str = "standard") -> dict[str, str]:
        """Id and state, under sacct's names."""
        return {"JobID": job_id, "State": self.get_state(job_id, mode)}

    def is_done(self, job_id: str, mode: str = "standard") -> bool:
        """Whether the job has ended."""
        return _has_ended(job_id, self.get_state(job_id, mode))

    def _update(self) -> None:
        """Ask for all jobs that have not ended."""
        open_jobs = {key for key, state in self._states.items() if not _has_ended(key, state)}
        if not open_jobs:
            return
        self._asked = time.time()
        try:
            views = self.client.queue(self._cluster)
        except SchedulerError:
            return
        missing = {key for key in open_jobs if key not in views}
        if missing:
            with suppress(SchedulerError):
                views = {**self.client.accounting(self._cluster, missing), **views}
        for key in open_jobs:
            self._states[key] = views[key].state if key in views else self._without_answer(key)
            if key in views:
                self._missing_since.pop(key, None)

    def _without_answer(self, key: str) -> str:
        since = self._missing_since.setdefault(key, time.time())
        return "LOST" if time.time() - since >= _LOST_AFTER_S else "UNKNOWN"


def _has_ended(key: str, state: str) -> bool:
    """Whether a job in this state stays so; one that was preempted may be requeued."""
    if state in ("UNKNOWN", "PREEMPTED"):
        return False
    return state == "LOST" or not JobView(key, state).is_live


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
    ) -> None:
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
        """
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
        with trust.opened(self._record.run_path) as run:
            return load(run, self._record, None)[0]

    def result(self) -> Any:
        """Wait for what the step returned; raises as `results` does."""
        values = self.results()
        assert not self.ranks, "use `results()`: the step has several ranks"
        return values[0]

    def results(self) -> list[Any]:
        """Wait for what each rank of the step returned.

        Raises:
            FailedJobError: the step failed, with its traceback.
            UncompletedJobError: it left no result.
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
        return super().stdout()

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
            if time.monotonic() > limit:
                message = f"job {self.job_id} left no result ({self.state}); it wrote:"
                raise UncompletedJobError(f"{message}\n{self.stdout()}")
            time.sleep(_RESULT_POLL_S)
        restart, end = found
        rank = int(self.task_id or 0)
        if rank and (own := self._record.reports(restart).get(rank)) is not None:
            end = own
        with trust.opened(self._record.run_path) as run:
            content = read_result(run, self._record, restart, rank)
        if end.error is not None:
            return "error", end.error.traceback or end.error.message
        return "success", pickle.loads(content) if content else None

    def _has_result(self) -> bool:
        return self._ended() is not None

    def _ended(self) -> tuple[int, EndMarker] | None:
        """The last attempt, if it reported its end and was not requeued."""
        with suppress(OSError):  # opening a folder refreshes it on a network file system
            os.close(os.open(self.paths.folder, os.O_RDONLY | os.O_DIRECTORY))
        found = self._record.newest_end()
        return found if found is not None and found[1].outcome in _REPORTED else None
