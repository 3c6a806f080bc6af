"""The states of submitted jobs, asked for all of a cluster at once."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from planit.errors import SchedulerError
from planit.record.jobs import JobView

if TYPE_CHECKING:
    from planit.backends.base import Client

_MIN_POLL_S, _MAX_POLL_S = 2.0, 5.0
_LOST_AFTER_S = 120.0  # a job without any answer for so long is lost


class ClusterWatcher:
    """The states of all registered jobs of a cluster, by one squeue and at most one sacct call.

    Its methods are those that submitit's jobs call on their watcher. `mode` is "force" (ask now),
    "standard" (ask if the last answer is some seconds old) or "cache" (do not ask).
    """

    def __init__(self, client: Client, cluster: str | None) -> None:
        self.client = client
        self._cluster = cluster
        self._states: dict[str, str] = {}
        self._nodes: dict[str, str | None] = {}
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
        """Id, state and nodes (empty before it has any), under sacct's names."""
        state = self.get_state(job_id, mode)
        return {"JobID": job_id, "State": state, "NodeList": self._nodes.get(job_id) or ""}

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
                self._nodes[key] = views[key].node
                self._missing_since.pop(key, None)

    def _without_answer(self, key: str) -> str:
        since = self._missing_since.setdefault(key, time.time())
        return "LOST" if time.time() - since >= _LOST_AFTER_S else "UNKNOWN"


def _has_ended(key: str, state: str) -> bool:
    """Whether a job in this state stays so; one that was preempted may be requeued."""
    if state in ("UNKNOWN", "PREEMPTED"):
        return False
    return state == "LOST" or not JobView(key, state).is_live
