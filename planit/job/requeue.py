"""A Slurm job puts itself back into its queue, with more memory or time, under the same id.

What waits for it goes on waiting: `scontrol requeuehold` from the job's own script, then updates,
then `scontrol release` (tried with Slurm 22.05 as a normal user). The job must end right after.
"""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
from collections.abc import Collection

from planit.errors import PlanError
from planit.job.retries import Granted, JobEndingError, NextAttempt, NotRequeuedError
from planit.nodes import walltime
from planit.nodes.retry import Cause, memory_text

_TIMEOUT_S = 60.0
_RELEASE_TRIES = 3
# A start that has passed when Slurm has cleaned up behind the job is put off by two minutes.
_SOON_S = 5
_UNITS = {"K": 1 / 1024, "M": 1.0, "G": 1024.0, "T": 1024.0**2}
_SETTINGS = ("SLURM_CLUSTERS", "SINFO_", "SACCT_", "SCONTROL_", "SLURM_TIME_FORMAT")  # users' own
_MEMORY = ("MinMemoryNode", "MinMemoryCPU")


def hold_for(job: str, planned: NextAttempt) -> Granted:
    """Put this job back, held, with what its next attempt has; `release` must follow.

    Raises:
        NotRequeuedError: nothing was done.
    """
    shown = _shown(job)
    preempted = shown.get("PreemptTime", "None") not in ("None", "Unknown")
    if shown.get("JobState") != "RUNNING" or preempted:
        raise JobEndingError(f"Slurm has the job as {shown.get('JobState')}")
    updates: dict[str, str] = {}
    told: list[str] = []
    memory, minutes = _memory_of(shown), _minutes_of(shown)
    if planned.cause is Cause.OOM and planned.rule.factor > 1:
        name, memory = _raised_memory(shown, planned, told)
        updates[name] = str(memory)
    if planned.cause is Cause.TIMEOUT and planned.rule.factor > 1:
        minutes = _raised_minutes(shown, planned, told)
        updates["TimeLimit"] = str(minutes)
    updates["StartTime"] = f"now+{max(_SOON_S, planned.rule.delay_s)}seconds"
    _hold(job)
    refused = _update(job, updates)
    told += [f"{name} could not be set to {updates[name]}: {why}" for name, why in refused.items()]
    if refused.keys() & {*_MEMORY, "TimeLimit"}:
        memory, minutes = _memory_of(shown), _minutes_of(shown)
    return Granted(memory, minutes, tuple(told))


def hold_without(job: str, nodes: Collection[str]) -> None:
    """Put this job back, held, so that it does not start on these nodes; `release` must follow.

    Raises:
        NotRequeuedError: nothing was done.
    """
    shown = _shown(job)
    excluded = [shown.get("ExcNodeList", "(null)"), *sorted(nodes)]
    _hold(job)
    names = ",".join(one for one in excluded if one != "(null)")
    _update(job, {"ExcNodeList": names, "StartTime": f"now+{_SOON_S}seconds"})


def release(job: str) -> None:
    """Let a job go that was put back; if Slurm does not take it, it stays held."""
    for _ in range(_RELEASE_TRIES):
        if _run("scontrol", "release", job).returncode == 0:
            return


def failed_nodes(job: str) -> list[str]:
    """The nodes of the attempts that a failure of a node has ended, one for each attempt.

    Raises:
        NotRequeuedError: Slurm's accounting does not answer.
    """
    done = _run("sacct", "-D", "-X", "-n", "-P", "-o", "State,NodeList", "-j", job)
    if done.returncode != 0:
        raise NotRequeuedError(_words(done))
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return [row[1] for row in rows if len(row) > 1 and row[0] == "NODE_FAIL"]


def names_in(nodes: str) -> set[str]:
    """The nodes in Slurm's ``n[1-2],n7``."""
    return set(_run("scontrol", "show", "hostnames", nodes).stdout.split()) if nodes else set()


def has_others(nodes: Collection[str], partition: str, count: int) -> bool:
    """Whether a partition has so many nodes besides these."""
    done = _run("sinfo", "-h", "-N", "-o", "%N", "-p", partition)
    return len(set(done.stdout.split()) - set(nodes)) >= count


def _hold(job: str) -> None:
    """From here on the job is signalled, and what it ignores its children ignore too."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    done = _run("scontrol", "requeuehold", job)
    if done.returncode != 0:
        signal.signal(signal.SIGTERM, before)
        raise NotRequeuedError(f"scontrol requeuehold: {_words(done)}")


def _update(job: str, updates: dict[str, str]) -> dict[str, str]:
    """Set fields of a job, one by one if they are refused together; what was refused, and why."""
    fields = [f"{name}={value}" for name, value in updates.items()]
    if _run("scontrol", "update", f"JobId={job}", *fields).returncode == 0:
        return {}
    refused = {}
    for name, field in zip(updates, fields, strict=True):
        done = _run("scontrol", "update", f"JobId={job}", field)
        if done.returncode != 0:
            refused[name] = _words(done)
    return refused


def _raised_memory(shown: dict[str, str], planned: NextAttempt, told: list[str]) -> tuple[str, int]:
    """Field and MiB, at most what a node of the partition has."""
    name = next((one for one in _MEMORY if _megabytes(shown.get(one))), None)
    if name is None:
        raise NotRequeuedError("the job has all the memory of its nodes already")
    before = _megabytes(shown[name])
    partition = shown.get("Partition", "")
    most = max((_megabytes(one) for one in _sinfo("%m", partition)), default=0)
    if name == "MinMemoryCPU":
        cpus, nodes = (int(shown.get(key, "1").split("-")[0]) for key in ("NumCPUs", "NumNodes"))
        most = most * nodes // max(1, cpus)
    wanted = planned.rule.raised(before)
    after = min(wanted, most) if most else wanted
    if after <= before:
        has = memory_text(before)
        raise NotRequeuedError(f"no node of partition {partition} has more memory than {has}")
    if after < wanted:
        told.append(
            f"memory: {memory_text(after)}, not {memory_text(wanted)}, which no node of partition"
            f" {partition} has"
        )
    return name, after


def _raised_minutes(shown: dict[str, str], planned: NextAttempt, told: list[str]) -> int:
    """Minutes, at most what the partition allows."""
    before = _minutes_of(shown)
    if before is None:
        raise NotRequeuedError(f"the job's time limit is {shown.get('TimeLimit')}")
    partition = shown.get("Partition", "")
    limits = [_minutes(one) for one in _sinfo("%l", partition)]
    known = [one for one in limits if one is not None]
    wanted = planned.rule.raised(before)
    after = min(wanted, max(known)) if known and len(known) == len(limits) else wanted
    if after <= before:
        raise NotRequeuedError(f"partition {partition} allows no more than {before} minutes")
    if after < wanted:
        told.append(
            f"time: {after} minutes, not {wanted}, which partition {partition} does not allow"
        )
    return after


def _memory_of(shown: dict[str, str]) -> int | None:
    return next((found for one in _MEMORY if (found := _megabytes(shown.get(one)))), None)


def _minutes_of(shown: dict[str, str]) -> int | None:
    return _minutes(shown.get("TimeLimit", ""))


def _minutes(text: str) -> int | None:
    try:
        return walltime.whole_minutes(walltime.parse(text))
    except PlanError:  # UNLIMITED, infinite
        return None


def _megabytes(text: str | None) -> int:
    """Of ``100M``, ``1.50G``, ``20000``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text or "")
    return math.floor(float(match[1]) * _UNITS[match[2] or "M"]) if match else 0


def _shown(job: str) -> dict[str, str]:
    done = _run("scontrol", "-o", "show", "job", job)
    if done.returncode != 0:
        raise NotRequeuedError(f"scontrol show job: {_words(done)}")
    words = (word.partition("=") for word in done.stdout.split())
    return {name: value for name, _, value in words}


def _sinfo(what: str, partition: str) -> list[str]:
    done = _run("sinfo", "-h", "-e", "-o", what, "-p", partition)
    return done.stdout.split() if done.returncode == 0 else []


def _words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stderr.split()) or f"exit code {done.returncode}"


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    """Ask this job's own cluster, which is the one that its configuration names."""
    try:
        return subprocess.run(
            command,
            env={k: v for k, v in os.environ.items() if not k.startswith(_SETTINGS)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return subprocess.CompletedProcess(command, 1, "", str(problem))
