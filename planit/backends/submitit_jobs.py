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
from typing import TYPE_CHECKING, Any

from submitit.core import utils
from submitit.slurm.slurm import SlurmInfoWatcher, SlurmJob

from planit.backends.base import refuse_left
from planit.errors import SchedulerError
from planit.job.payload import StepPaths, load
from planit.record import trust
from planit.record.jobs import JobRef
from planit.record.trust import TrustedDir

if TYPE_CHECKING:
    from planit.backends.base import Client

_POLL_S = 5.0
_RESULT_POLL_S = 0.5
_LOST_AFTER_S = 120.0  # a job that nobody knows is lost when it was asked for in vain so long


class ClusterWatcher(SlurmInfoWatcher):  # type: ignore[misc, unused-ignore]
    """submitit's shared state look-up, by one squeue and one sacct call on one cluster."""

    def __init__(self, client: Client, cluster: str | None) -> None:
        super().__init__(delay_s=int(_POLL_S))
        self.client = client
        self._cluster = cluster
        self._missing_since: dict[str, float] = {}

    def update(self) -> None:
        """Ask for all jobs that are not known to have ended."""
        open_jobs = self._registered - self._finished
        if not open_jobs:
            return
        self._num_calls += 1
        self._last_status_check = time.time()
        try:
            views = self.client.queue(self._cluster)
        except SchedulerError:
            return
        missing = {key for key in open_jobs if key not in views}
        if missing:
            with suppress(SchedulerError):
                views = {**self.client.accounting(self._cluster, missing), **views}
        for key in open_jobs:
            self._note(key, views[key].state if key in views else None)

    def _note(self, key: str, state: str | None) -> None:
        if state is None:
            since = self._missing_since.setdefault(key, time.monotonic())
            state = "LOST" if time.monotonic() - since >= _LOST_AFTER_S else "UNKNOWN"
        else:
            self._missing_since.pop(key, None)
        self._info_dict[key] = {"JobID": key, "State": state}
        if self.is_done(key, mode="cache"):
            self._finished.add(key)


class StepJob(SlurmJob[Any]):
    """A step of a plan as a submitit job.

    Standard output and error share one log, which `stdout` and `stderr` both return.
    """

    def __init__(
        self,
        step_dir: Path,
        ref: JobRef,
        watcher: ClusterWatcher,
        *,
        name: str,
        script: Path,
        tasks: int = 1,
        task: int | None = None,
    ) -> None:
        self.watcher = watcher
        self._client = watcher.client
        self.name = name
        self.cluster = ref.cluster
        numbers = tuple(range(tasks)) if task is None else (task,)
        super().__init__(step_dir, ref.job_id, tasks=numbers[:1])
        self._tasks = numbers
        self._paths = StepPaths(step_dir, ref.job_id, self.task_id, script)
        if len(numbers) > 1:
            self._sub_jobs = [
                StepJob(step_dir, ref, watcher, name=name, script=script, task=number)
                for number in numbers
            ]

    def cancel(self, check: bool = True) -> None:
        """Cancel the job on its own cluster.

        Raises:
            SchedulerError: `check` is set and the job is not known to be gone.
        """
        left = self._client.cancel([JobRef(self.cluster, self.job_id)])
        if check:
            refuse_left(left)

    def done(self, force_check: bool = False) -> bool:
        """Whether the step has ended: its result is there, or the scheduler says so."""
        if self._sub_jobs:
            return all(job.done(force_check) for job in self._sub_jobs)
        if self._has_result():
            return True
        mode = "force" if force_check else "standard"
        return bool(self.watcher.is_done(self.job_id, mode=mode))

    def submission(self) -> utils.DelayedSubmission:
        """The step's call. Raises RunError if another user could have written it."""
        with self._opened() as folder:
            return load(folder)

    def _get_outcome_and_result(self) -> tuple[str, Any]:
        """What `result`, `results` and `exception` of submitit 1.5 get the result from.

        Raises:
            RunError: another user could have written it.
            UncompletedJobError: there is none.
        """
        end = time.monotonic() + self._results_timeout_s
        while not self._has_result():
            if time.monotonic() > end:
                message = f"job {self.job_id} left no result ({self.state}); it wrote:"
                raise utils.UncompletedJobError(f"{message}\n{self.stdout()}")
            time.sleep(_RESULT_POLL_S)
        with self._opened() as folder, folder.open(self.paths.result_pickle.name) as file:
            outcome, value = pickle.load(file)
        return outcome, value

    def _opened(self) -> TrustedDir:
        folder = self.paths.folder  # <run>/steps/<step>
        with trust.opened(folder.parents[1]) as run:
            return run.subdir(f"{folder.parent.name}/{folder.name}")

    def _has_result(self) -> bool:
        with suppress(OSError):  # a network file system looks again when a folder is opened
            os.close(os.open(self.paths.folder, os.O_RDONLY | os.O_DIRECTORY))
        return bool(self.paths.result_pickle.exists())

    def stderr(self) -> str | None:
        """What the step wrote; the same as `stdout`."""
        return self.stdout()

    @property
    def paths(self) -> utils.JobPaths:
        """Where log, payload, script and result stand."""
        return self._paths
