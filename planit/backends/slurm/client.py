"""Slurm's command line tools, one method per question, with foreign errors mapped here.

A job is always (cluster, id): two clusters hand out the same numbers. Everything goes through
public commands, so that a site needs nothing but its Slurm client.
"""

from __future__ import annotations

import getpass
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from planit.errors import SchedulerError, SubmissionError
from planit.record.jobs import JobRef, JobView
from planit.record.umask import closed_umask

CALL_TIMEOUT_S = 60.0
_BATCH = 500  # ids per scontrol or scancel call, far below the kernel's limit on one argument

# Input variables of the Slurm clients that a site or a user sets on purpose; every other SLURM_*
# belongs to an allocation that planit may be running in, and would leak into the jobs.
_KEPT = frozenset({"SLURM_CONF", "SLURM_CLUSTERS", "SLURM_TIME_FORMAT"})


def client_env(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for Slurm's clients, without what an allocation left in ours."""
    source = os.environ if environ is None else environ
    return {k: v for k, v in source.items() if not k.startswith("SLURM_") or k in _KEPT}


@dataclass
class SlurmClient:
    """Calls sbatch, scontrol, scancel, squeue and sacct; counts the calls."""

    timeout_s: float = CALL_TIMEOUT_S
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _settings: dict[str | None, dict[str, str]] = field(default_factory=dict)

    def submit(self, script: str, options: Sequence[str]) -> JobRef:
        """Sbatch `script`. Raises SubmissionError with Slurm's own words if it is refused."""
        done = self._run(["sbatch", "--parsable", *options, script], SubmissionError)
        if done.returncode != 0:
            raise SubmissionError(_words(done, "sbatch"))
        match = re.fullmatch(r"(\d+)(?:;(\S+))?", done.stdout.strip().splitlines()[-1:][0])
        if match is None:
            raise SubmissionError(f"sbatch printed no job id but {done.stdout.strip()!r}")
        return JobRef(match[2], match[1])

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Release held jobs; those that have ended, or that Slurm has forgotten, are passed over.

        Raises:
            SchedulerError: one is still held.
        """
        wanted = list(jobs)
        try:
            self._per_cluster("scontrol", ["release"], wanted, check=True)
        except SchedulerError:
            if self._some_held(wanted):
                raise

    def _some_held(self, jobs: Iterable[JobRef]) -> bool:
        return any(
            view.is_live and "Held" in (view.reason or "") and view.key.partition("_")[0] in ids
            for cluster, ids in _by_cluster(jobs).items()
            for view in self.queue(cluster).values()
        )

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs and array tasks; those that already ended are passed over."""
        self._per_cluster("scancel", ["--quiet"], jobs, check=False)
        return {}

    def setting(self, name: str, cluster: str | None) -> str:
        """A value of a cluster's configuration, which is asked for once.

        Raises:
            SchedulerError: Slurm does not answer, or has no such setting.
        """
        if cluster not in self._settings:
            done = self._run(["scontrol", *_on(cluster), "show", "config"], SchedulerError)
            if done.returncode != 0:
                raise SchedulerError(_words(done, "scontrol show config"))
            found = re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", done.stdout, re.MULTILINE)
            self._settings[cluster] = dict(found)
        value = self._settings[cluster].get(name)
        if not value:
            raise SchedulerError(f"scontrol show config: there is no {name}")
        return value

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """All of the user's jobs that slurmctld still knows, by key; arrays task by task."""
        layout = "%F|%K|%i|%T|%M|%N|%r|%k"
        command = ["squeue", *_on(cluster), "-h", "-t", "all", "-u", getpass.getuser()]
        done = self._run([*command, "-o", layout], SchedulerError)
        if done.returncode != 0:
            raise SchedulerError(_words(done, "squeue"))
        return {view.key: view for line in done.stdout.splitlines() for view in _queue_line(line)}

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """What slurmdbd says of jobs and array tasks. Raises SchedulerError without accounting.

        An array that was cancelled before it started stands there as one bare id; that is then
        said of each of its tasks.
        """
        wanted = set(keys)
        ids = ",".join(sorted({key.partition("_")[0] for key in wanted}))
        if not ids:
            return {}
        fields = "JobID,State,ElapsedRaw,NodeList,Start"
        command = ["sacct", *_on(cluster), "-X", "-n", "-P", "-o", fields, "-j", ids]
        done = self._run(command, SchedulerError)
        if done.returncode != 0:
            raise SchedulerError(_words(done, "sacct"))
        views = {v.key: v for line in done.stdout.splitlines() for v in _account_line(line)}
        for key in wanted - views.keys():
            whole = views.get(key.partition("_")[0])
            if whole is not None and whole.state == "CANCELLED" and not whole.started:
                views[key] = replace(whole, key=key)
        return views

    def _per_cluster(
        self, tool: str, words: list[str], jobs: Iterable[JobRef], *, check: bool
    ) -> None:
        problem: SchedulerError | None = None
        for cluster, job_ids in _by_cluster(jobs).items():
            ids = list(job_ids)
            for start in range(0, len(ids), _BATCH):
                part = ids[start : start + _BATCH]
                tail = [",".join(part)] if tool == "scontrol" else part
                done = self._run([tool, *_on(cluster), *words, *tail], SchedulerError)
                if check and done.returncode != 0:
                    problem = problem or SchedulerError(_words(done, tool))
                if not check and "contact slurm controller" in done.stderr:
                    raise SchedulerError(_words(done, tool))
        if problem is not None:
            raise problem

    def _run(
        self, command: list[str], error: type[SubmissionError | SchedulerError]
    ) -> subprocess.CompletedProcess[str]:
        """Run a client in a session of its own, so that Ctrl-C cannot cut a call in half."""
        self.calls[command[0]] += 1
        if shutil.which(command[0]) is None:
            raise error(
                f"{command[0]} is not on PATH",
                hint="work on a login node of the cluster, or use backend=debug",
            )
        try:
            return subprocess.run(
                command,
                capture_output=True,
                text=True,
                errors="replace",
                env=client_env(),
                stdin=subprocess.DEVNULL,
                timeout=self.timeout_s,
                start_new_session=True,
                umask=closed_umask(),  # sbatch hands it on to the job, whose log is made under it
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise error(f"{command[0]} gave no answer in {self.timeout_s:g} s") from None


@dataclass
class RememberingClient(SlurmClient):
    """Asks each cluster for its queue once, however many runs are looked at."""

    _queues: dict[str | None, dict[str, JobView]] = field(default_factory=dict)

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """The queue as it was at the first call."""
        if cluster not in self._queues:
            self._queues[cluster] = super().queue(cluster)
        return self._queues[cluster]


def available() -> bool:
    """Whether this machine can submit to a Slurm."""
    return shutil.which("sbatch") is not None


def _by_cluster(jobs: Iterable[JobRef]) -> dict[str | None, dict[str, None]]:
    """The ids of `jobs` on each cluster, each once, in their order."""
    found: dict[str | None, dict[str, None]] = defaultdict(dict)
    for job in jobs:
        found[job.cluster][job.job_id] = None
    return found


def _on(cluster: str | None) -> list[str]:
    return [] if cluster is None else ["-M", cluster]


def _words(done: subprocess.CompletedProcess[str], tool: str) -> str:
    """Slurm's own words for a failure, as one line."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    text = "; ".join(re.sub(r"^\w+: (error: )?", "", line) for line in lines)
    return f"{tool}: {text}" if text else f"{tool} ended with exit code {done.returncode}"


def _queue_line(line: str) -> Iterator[JobView]:
    parts = line.split("|", 7)
    if len(parts) != 8:  # the "CLUSTER: name" heading of -M, or noise
        return
    base, index, job_id, state, elapsed, node, reason, comment = parts
    for key in _keys(base if "_" in job_id else job_id, index if "_" in job_id else None):
        yield JobView(
            key,
            state,
            _seconds(elapsed),
            node or None,
            None if reason == "None" else reason,
            None if comment in ("", "(null)") else comment,
        )


def _account_line(line: str) -> Iterator[JobView]:
    parts = line.split("|")
    if len(parts) < 5:
        return
    job_id, state, elapsed, node, start = parts[:5]
    base, _, index = job_id.partition("_")
    for key in _keys(base, index or None):
        yield JobView(
            key,
            state.split()[0] if state else "UNKNOWN",
            int(elapsed) if elapsed.isdigit() else None,
            None if node in ("", "None assigned") else node,
            started=start not in ("None", "Unknown", ""),
        )


def _keys(base: str, index: str | None) -> Iterator[str]:
    """``12`` for a job; ``12_4``, ``12_5`` ... for an index expression like ``[4-9:2,12%2]``."""
    if index is None:
        yield base
        return
    for number in _expand(index.strip("[]").split("%")[0]):
        yield f"{base}_{number}"


@lru_cache(maxsize=64)
def _expand(expression: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in expression.split(","):
        if match := re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part):
            first, last, step = int(match[1]), match[2], match[3]
            numbers += range(first, int(last or first) + 1, int(step or 1))
    return tuple(numbers)


def _seconds(text: str) -> int | None:
    """Squeue's elapsed time, ``[D-][H:]MM:SS``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
