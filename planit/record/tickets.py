"""Tickets: ``submissions/<n>.jobs.json`` says which jobs of a submission may run.

It is written when every stage is in the queue, before anything is released. A job that is not
named in it is not the job of record (sbatch was repeated, or accepted the job after planit had
given up) and refuses to run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json, write_json
from planit.record.jobs import JobRef
from planit.record.submissions import FOLDER


@dataclass(frozen=True)
class Ticket:
    """What a submission's ticket says.

    Attributes:
        jobs: the job of record of each stage, by number.
        steps: the names of the steps that the submission holds.
        revoked: why nothing of the submission may run, if so.
    """

    jobs: Mapping[int, JobRef] = field(default_factory=dict)
    steps: Collection[str] = ()
    revoked: str | None = None


def path_of(run_path: Path, submission: int) -> Path:
    """Where the ticket of a submission is."""
    return run_path / FOLDER / f"{submission}.jobs.json"


def issue(
    run_path: Path, submission: int, jobs: Mapping[int, JobRef], steps: Collection[str]
) -> None:
    """Let the given jobs run, and no others of the submission."""
    content = {
        "jobs": {str(stage): [job.job_id, job.cluster] for stage, job in jobs.items()},
        "steps": list(steps),
    }
    write_json(path_of(run_path, submission), content)


def revoke(run_path: Path, submission: int, reason: str) -> None:
    """Let nothing of a submission run, whatever Slurm still starts of it."""
    write_json(path_of(run_path, submission), {"revoked": reason})


def read(run_path: Path, submission: int) -> Ticket | None:
    """The ticket of a submission, or None if there is none (yet)."""
    content = read_json(path_of(run_path, submission))
    if not isinstance(content, dict):
        return None
    if "revoked" in content:
        return Ticket(revoked=str(content["revoked"]))
    jobs, steps = fields.mapping(content, "jobs"), fields.texts(content, "steps")
    try:
        named = {int(stage): _job(job) for stage, job in jobs.items()}
    except (TypeError, ValueError):
        return None
    whole = (jobs, steps) == (content.get("jobs"), content.get("steps"))
    return Ticket(named, frozenset(steps)) if whole else None


def _job(content: Any) -> JobRef:
    job_id, cluster = content
    if not isinstance(job_id, str) or not isinstance(cluster, str | None):
        raise TypeError("a job is an id and a cluster")
    return JobRef(cluster, job_id)
