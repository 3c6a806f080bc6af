"""Settles a submission that stopped in the middle: finish it, or clear it away.

Roots are released only when every stage is in. So as long as one stage is missing nothing of the
submission has run, and all of it can be cancelled; and if none is missing, only the release is.
"""

from __future__ import annotations

from typing import Any

from planit.backends.client import JobRef
from planit.backends.slurm import SlurmBackend
from planit.errors import RunError
from planit.runs import history as histories
from planit.runs.files import read_json
from planit.runs.history import History
from planit.runs.rundir import RunDir


def settle(run: RunDir, past: History, backend: SlurmBackend, *, finish: bool) -> History:
    """Settle the newest submission if it is incomplete; the run's history afterwards.

    Args:
        run: the run, whose lock is held.
        past: its history so far.
        backend: asked for jobs whose id never reached the journal.
        finish: release a submission that is all in; otherwise it is cleared away.

    Raises:
        SchedulerError: Slurm does not answer; nothing was changed.
    """
    if not past.incomplete:
        return past
    number = past.last_submission
    content = read_json(run.submission_file(number))
    stages: list[dict[str, Any]] = (content or {}).get("stages", [])
    if not stages:
        raise RunError(f"submission {number} of run {run.run_id} cannot be read")
    known = _all_jobs(run, past, backend, number, stages)
    if finish and len(known) == len(stages):
        roots = [known[stage["number"]] for stage in stages if not stage["edges"]]
        backend.release(roots)
        run.journal.append("released", number=number)
    else:
        backend.cancel(known.values())
        run.journal.append(
            "aborted",
            number=number,
            reason="it had stopped in the middle",
            cancelled=[str(job) for job in known.values()],
        )
    return histories.read(run)


def _all_jobs(
    run: RunDir,
    past: History,
    backend: SlurmBackend,
    number: int,
    stages: list[dict[str, Any]],
) -> dict[int, JobRef]:
    """The jobs by stage; those that only Slurm knows of are written to the journal."""
    known = {stage: job for (n, stage), job in past.jobs.items() if n == number}
    missing = [stage for stage in stages if stage["number"] not in known]
    tags = {run.tag(number, stage["number"]): stage["number"] for stage in missing}
    clusters = {stage["cluster"] for stage in stages}
    for tag, job in backend.find_all(tags, clusters).items():
        run.journal.append(
            "submitted", number=number, stage=tags[tag], job=job.job_id, cluster=job.cluster
        )
        known[tags[tag]] = job
    return known
