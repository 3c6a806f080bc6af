"""Slurm's command line tools, one method per question, with foreign errors mapped here.

A job is always (cluster, id): two clusters hand out the same numbers. Everything goes through
public commands, so that a site needs nothing but its Slurm client.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from planit.backends.slurm import parse
from planit.backends.slurm.environment import question_env, sbatch_env
from planit.backends.slurm.interrupts import deferred_interrupt
from planit.errors import SchedulerError, SubmissionError, UnknownClusterError
from planit.record.jobs import JobRef, JobView
from planit.record.umask import closed_umask

CALL_TIMEOUT_S = 60.0
CANCEL_PAUSE_S = 1.0
_CANCEL_TRIES = 3
_NO_NEW_TRY_AFTER_S = 15.0  # a slurmctld that is down takes 9 s to say so, of each tool
_BATCH = 500  # ids per scontrol or scancel call, far below the kernel's limit on one argument


class UnclearSubmissionError(SubmissionError):
    """sbatch succeeded, but what it printed does not name its job for certain."""


@dataclass
class SlurmClient:
    """Calls sbatch, scontrol, scancel, squeue and sacct; counts the calls.

    A cluster None is the one that the machine's slurm.conf names.

    Attributes:
        timeout_s: how long a tool may take.
        cancel_pause_s: pause before scancel is tried again on what is still in the queue.
        calls: how often each tool was called.
    """

    timeout_s: float = CALL_TIMEOUT_S
    cancel_pause_s: float = CANCEL_PAUSE_S
    calls: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _settings: dict[str | None, dict[str, str]] = field(default_factory=dict)

    source: ClassVar[str] = "slurm"

    def submit(self, script: str, options: Sequence[str], cluster: str | None = None) -> JobRef:
        """Sbatch `script`. Ctrl-C waits for the end of the call.

        Raises:
            UnclearSubmissionError: it was accepted, but its id is not certain.
            SubmissionError: in Slurm's own words, if it is refused.
        """
        env = sbatch_env(Path(script).read_text(encoding="utf-8", errors="replace"))
        command = ["sbatch", *_on(cluster), "--parsable", *options, script]
        with deferred_interrupt():
            done = self._run(command, SubmissionError, env)
        if done.returncode != 0:
            raise SubmissionError(_words(done, "sbatch"))
        found = parse.job_id(done.stdout)
        if found is None:
            raise UnclearSubmissionError(f"sbatch printed no clear job id but {done.stdout!r}")
        return JobRef(found[1] or cluster, found[0])

    def test_only(self, script: str, cluster: str | None = None) -> str:
        """What sbatch prints of a script that it does not submit (``--test-only``).

        Raises:
            SubmissionError: in Slurm's own words, if it would be refused.
        """
        env = sbatch_env(Path(script).read_text(encoding="utf-8", errors="replace"))
        command = ["sbatch", *_on(cluster), "--test-only", script]
        done = self._run(command, SubmissionError, env)
        if done.returncode != 0:
            raise SubmissionError(_words(done, "sbatch"))
        return done.stdout + done.stderr

    def release(self, jobs: Iterable[JobRef]) -> None:
        """Release held jobs; those that have ended, or that Slurm has forgotten, are passed over.

        Raises:
            SchedulerError: one is still held.
        """
        wanted = list(jobs)
        problem: SchedulerError | None = None
        for cluster, ids in _by_cluster(wanted).items():
            for part in _batches(ids):
                command = ["scontrol", *_on(cluster), "release", ",".join(part)]
                done = self._run(command, SchedulerError)
                if done.returncode != 0:
                    problem = problem or SchedulerError(_words(done, "scontrol"))
        if problem is not None and self._some_held(wanted):
            raise problem

    def _some_held(self, jobs: Iterable[JobRef]) -> bool:
        return any(
            view.is_held and view.key.partition("_")[0] in ids
            for cluster, ids in _by_cluster(jobs).items()
            for view in self.queue(cluster).values()
        )

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        """Cancel jobs and array tasks, then believe the queue; a few tries.

        Returns:
            Those that are not known to be gone, each with the reason: Slurm still shows them,
            or does not answer. Nothing is raised, so that one cluster cannot keep the others'
            jobs from being cancelled.
        """
        left: dict[JobRef, str] = {}
        for cluster, ids in _by_cluster(jobs).items():
            left |= {JobRef(cluster, key): why for key, why in self._cancel_on(cluster, ids)}
        return left

    def _cancel_on(self, cluster: str | None, ids: Iterable[str]) -> list[tuple[str, str]]:
        wanted = list(ids)
        left: dict[str, str] = {}
        began = time.monotonic()
        for attempt in range(_CANCEL_TRIES):
            if attempt and time.monotonic() - began > _NO_NEW_TRY_AFTER_S:
                break
            if attempt:
                time.sleep(self.cancel_pause_s)
            complaints = self._scancel(cluster, left or wanted)
            try:
                queue = self.queue(cluster)
            except UnknownClusterError:
                return []
            except SchedulerError as error:
                left = dict.fromkeys(left or wanted, f"no answer: {error.message}")
                continue
            left = _still_there(left or wanted, queue, complaints)
            if not left:
                break
        return list(left.items())

    def _scancel(self, cluster: str | None, ids: Iterable[str]) -> list[str]:
        """One scancel of all; its complaints, line by line."""
        complaints: list[str] = []
        for part in _batches(ids):
            try:
                done = self._run(["scancel", *_on(cluster), *part], SchedulerError)
            except SchedulerError as error:
                return [*complaints, error.message]
            complaints += [line for line in done.stderr.splitlines() if line.strip()]
            if done.returncode != 0 and not done.stderr.strip():
                complaints.append(_words(done, "scancel"))
        return complaints

    def setting(self, name: str, cluster: str | None) -> str:
        """A value of a cluster's configuration, which is asked for once.

        Raises:
            UnknownClusterError: Slurm has no such cluster.
            SchedulerError: it does not answer, or has no such setting.
        """
        value = self.config(cluster).get(name)
        if not value:
            raise SchedulerError(f"scontrol show config: there is no {name}")
        return value

    def config(self, cluster: str | None) -> Mapping[str, str]:
        """A cluster's configuration, which is asked for once; raises as `setting` does."""
        if cluster not in self._settings:
            command = ["scontrol", *_on(cluster), "show", "config"]
            self._settings[cluster] = parse.config(self._ask(command, cluster))
        return self._settings[cluster]

    def clusters(self) -> list[str]:
        """The clusters that slurmdbd has; none if it does not answer."""
        try:
            shown = self._ask(["sacctmgr", "-n", "-P", "show", "clusters", "format=cluster"])
        except SchedulerError:
            return []
        return [line.strip() for line in shown.splitlines() if line.strip()]

    def shown(self, what: str, cluster: str | None) -> list[dict[str, str]]:
        """The fields of each "partition" or "node" of a cluster; raises as `queue` does."""
        answer = self._ask(["scontrol", *_on(cluster), "-o", "show", what], cluster)
        return parse.records(answer, f"{what.title()}Name")

    def accounts(self, cluster: str | None) -> list[str]:
        """The accounts that the user may charge on a cluster, the default one first.

        None if slurmdbd does not answer, or if there is none.
        """
        try:
            name = cluster or self.setting("ClusterName", None)
            user = pwd.getpwuid(os.geteuid()).pw_name
            command = ["sacctmgr", "-n", "-P", "show", "user", "where", f"name={user}"]
            shown = self._ask([*command, "withassoc", "format=Cluster,DefaultAccount,Account"])
        except (SchedulerError, KeyError):
            return []
        return parse.accounts(shown, name)

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        """All of the user's jobs that slurmctld still has, by key; arrays task by task.

        Raises:
            UnknownClusterError: Slurm has no such cluster.
            SchedulerError: there is no answer, or not certainly a whole one.
        """
        user = str(os.geteuid())  # the name may be set to another, by LOGNAME for instance
        command = ["squeue", *_on(cluster), "-t", "all", "-u", user, "-o", parse.QUEUE_FIELDS]
        return parse.queue(self._ask(command, cluster))

    def accounting(self, cluster: str | None, keys: Iterable[str]) -> dict[str, JobView]:
        """What slurmdbd says of jobs and array tasks. Raises SchedulerError without accounting."""
        wanted = set(keys)
        ids = ",".join(sorted({key.partition("_")[0] for key in wanted}))
        if not ids:
            return {}
        command = ["sacct", *_on(cluster), "-X", "-P", "-o", parse.ACCOUNT_FIELDS, "-j", ids]
        views = parse.accounting(self._ask(command, cluster))
        return parse.with_tasks_of_whole_arrays(views, wanted)

    def _ask(self, command: list[str], cluster: str | None = None) -> str:
        """What a tool prints. An answer that speaks of an error is none, whatever its exit code."""
        done = self._run(command, SchedulerError)
        if done.returncode != 0 or parse.complaint(done.stderr):
            if cluster is not None and parse.is_unknown_cluster(done.stderr):
                raise UnknownClusterError(_words(done, command[0]))
            raise SchedulerError(_words(done, command[0]))
        return done.stdout

    def _run(
        self,
        command: list[str],
        error: type[SubmissionError | SchedulerError],
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a tool in a session of its own, so that Ctrl-C cannot cut a call in half."""
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
                env=question_env() if env is None else env,
                stdin=subprocess.DEVNULL,
                timeout=self.timeout_s,
                start_new_session=True,
                umask=closed_umask(),  # sbatch hands it on to the job, whose log is made under it
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise error(f"{command[0]} gave no answer in {self.timeout_s:g} s") from None


def _by_cluster(jobs: Iterable[JobRef]) -> dict[str | None, dict[str, None]]:
    """The ids of `jobs` on each cluster, each once, in their order."""
    found: dict[str | None, dict[str, None]] = defaultdict(dict)
    for job in jobs:
        found[job.cluster][job.job_id] = None
    return found


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    all_ids = list(ids)
    for start in range(0, len(all_ids), _BATCH):
        yield all_ids[start : start + _BATCH]


def _on(cluster: str | None) -> list[str]:
    return [] if cluster is None else ["-M", cluster]


def _still_there(
    ids: Iterable[str], queue: Mapping[str, JobView], complaints: Sequence[str]
) -> dict[str, str]:
    """Those of `ids` that the queue does not show as gone, each with scancel's complaints."""
    open_keys: dict[str, str] = {}
    for view in queue.values():
        if not view.is_gone:
            open_keys[view.key] = view.state
            open_keys.setdefault(view.key.partition("_")[0], view.state)
    return {
        key: f"still {open_keys[key]}{_about(key, complaints)}" for key in ids if key in open_keys
    }


def _about(key: str, complaints: Sequence[str]) -> str:
    """Scancel's complaints about a job: the lines that name it, or else those that name none."""
    named = [line for line in complaints if re.search(rf"\bid {re.escape(key)}\b(?![_.])", line)]
    lines = named or [line for line in complaints if not re.search(r"\bid \d", line)]
    return (
        f", scancel: {parse.words(chr(10).join(lines))}"
        if lines
        else ", and scancel printed nothing"
    )


def _words(done: subprocess.CompletedProcess[str], tool: str) -> str:
    """Slurm's own words for a failure, as one line."""
    text = parse.words(done.stderr)
    return f"{tool}: {text}" if text else f"{tool} ended with exit code {done.returncode}"
