"""A scheduler in memory, for tests of what is above the backends; it runs nothing by itself.

It passes the same tests as Slurm and the local engine: tests/contract/test_scheduler.py. Tests tell
it what happens to a job (`set`, `forget`), which calls fail, and read what it was asked for.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from planit.backends.base import Dependency, StageOnDisk, Tagged, TaggedJob
from planit.backends.slurm.backend import SlurmBackend
from planit.errors import SchedulerError, SubmissionError
from planit.graph import Graph, Stage
from planit.record.jobs import JobRef, JobView

HELD = "JobHeldUser"


@dataclass
class MemoryScheduler:
    """A backend and its client.

    Attributes:
        jobs: each job and array task by cluster and key, as the queue shows it.
        accounts: the same, as the accounting shows it.
        after: what each job waits for.
        calls: how often each question was asked, and of which cluster.
        no_answer: clusters that do not answer, with the reason.
        no_accounting: why the accounting does not answer, if so.
        refuses: names of job that are refused, with the reason.
        stubborn: jobs that are never cancelled, with the reason.
    """

    jobs: dict[tuple[str | None, str], JobView] = field(default_factory=dict)
    accounts: dict[tuple[str | None, str], JobView] = field(default_factory=dict)
    after: dict[JobRef, list[str]] = field(default_factory=dict)
    calls: Counter[tuple[str, str | None]] = field(default_factory=Counter)
    no_answer: dict[str | None, str] = field(default_factory=dict)
    no_accounting: str | None = None
    refuses: dict[str, str] = field(default_factory=dict)
    stubborn: dict[JobRef, str] = field(default_factory=dict)
    cluster: str | None = None
    array_size: int = 1000
    python: str = "python3"
    next_id: int = 1

    name = "memory"
    packs = True
    poll_interval_s = 0.01

    # What a test does to it.

    def set(self, key: str, state: str, cluster: str | None = None, **more: Any) -> None:
        """A job, or all tasks of an array, is now in a state; `more` are fields of its JobView."""
        for own, view in list(self.jobs.items()):
            if own[0] == cluster and key in (own[1], own[1].partition("_")[0]):
                self.jobs[own] = replace(view, state=state, **{"reason": None, **more})

    def forget(self, key: str, cluster: str | None = None, *, account: bool = True) -> None:
        """The queue forgets a job or array; the accounting then shows it, unless told not to."""
        for own, view in list(self.jobs.items()):
            if own[0] == cluster and key in (own[1], own[1].partition("_")[0]):
                del self.jobs[own]
                if account:
                    self.accounts[own] = view

    def live(self) -> list[str]:
        """The keys of jobs that wait or run, in order."""
        return [key for (_, key), view in self.jobs.items() if view.is_live]

    def held(self) -> list[str]:
        return [key for (_, key), view in self.jobs.items() if view.reason == HELD]

    # Backend

    @property
    def client(self) -> MemoryScheduler:
        return self

    def settings(self) -> dict[str, Any]:
        return {"python": self.python}

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        return replace(self, **changes)

    def attached(self) -> Self:
        return self

    def attached_run(self) -> None:
        pass

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        self.calls["check", None] += 1

    def open_run(self, run_path: Path) -> None:
        pass

    def ranks(self, stage: Stage) -> int:
        return 1

    def script(self, stage: StageOnDisk) -> str:
        return SlurmBackend(python=self.python).script(stage)

    def default_cluster(self) -> str | None:
        return self.cluster

    def max_array_size(self, cluster: str | None) -> int:
        return self.array_size

    def cluster_name(self, cluster: str | None) -> str | None:
        return cluster

    def submit(
        self, script: Path, *, tag: str, cluster: str | None, after: Sequence[Dependency]
    ) -> JobRef:
        text = script.read_text(encoding="utf-8")
        name = re.search(r"^#SBATCH --job-name=(\S+)", text, re.MULTILINE)
        for part, why in self.refuses.items():
            if name is not None and part in name[1]:
                raise SubmissionError(why)
        array = re.search(r"^#SBATCH --array=0-(\d+)", text, re.MULTILINE)
        job = JobRef(cluster, str(self.next_id))
        self.next_id += 1
        keys = [f"{job.job_id}_{i}" for i in range(int(array[1]) + 1)] if array else [job.job_id]
        for key in keys:
            self.jobs[cluster, key] = JobView(key, "PENDING", 0, reason=HELD, comment=f"mine {tag}")
        self.after[job] = [f"{one.kind}:{one.job}" for one in after]
        return job

    def confirm(self, prefix: str, jobs: Mapping[str, JobRef]) -> None:
        found = self.tagged(prefix, {job.cluster for job in jobs.values()})
        found.refuse_no_answer()
        there = {(job.tag, job.ref) for job in found.jobs if job.live}
        for tag, job in jobs.items():
            if (tag, job) not in there:
                raise SubmissionError(f"job {job} is not there")

    def tagged(self, prefix: str, clusters: Iterable[str | None]) -> Tagged:
        found: dict[tuple[JobRef, str], bool] = {}
        asked = set(clusters)
        for (cluster, key), view in self.jobs.items():
            tag = (view.comment or "").rpartition(" ")[2]
            if cluster in asked and cluster not in self.no_answer and tag.startswith(prefix):
                one = JobRef(cluster, key.partition("_")[0]), tag
                found[one] = view.is_live or found.get(one, False)
        jobs = tuple(TaggedJob(ref, tag, live) for (ref, tag), live in found.items())
        return Tagged(jobs, {c: why for c, why in self.no_answer.items() if c in asked})

    def release(self, jobs: Iterable[JobRef]) -> None:
        for job in jobs:
            self._refuse(job.cluster)
            for own, view in self.jobs.items():
                if (own[0], own[1].partition("_")[0]) == (job.cluster, job.job_id):
                    reason = "Dependency" if self.after[job] else "Priority"
                    if view.reason == HELD:
                        self.jobs[own] = replace(view, reason=reason)

    # Client

    @property
    def source(self) -> int:
        return id(self)

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        self.calls["queue", cluster] += 1
        self._refuse(cluster)
        return {key: view for (own, key), view in self.jobs.items() if own == cluster}

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        self.calls["accounting", cluster] += 1
        self._refuse(cluster)
        if self.no_accounting is not None:
            raise SchedulerError(self.no_accounting)
        wanted = set(keys)
        found = self.accounts.items()
        return {key: view for (own, key), view in found if own == cluster and key in wanted}

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        left: dict[JobRef, str] = {}
        for job in jobs:
            why = self.stubborn.get(job) or self.no_answer.get(job.cluster)
            if why is not None:
                left[job] = why
                continue
            for own, view in self.jobs.items():
                keys = (own[1], own[1].partition("_")[0])
                if own[0] == job.cluster and job.job_id in keys and view.is_live:
                    self.jobs[own] = replace(view, state="CANCELLED", reason=None)
        return left

    def _refuse(self, cluster: str | None) -> None:
        if cluster in self.no_answer:
            raise SchedulerError(self.no_answer[cluster])
