"""Settles a submission that stopped in the middle: finish it, or clear it away.

Roots are released only when every stage is in. So as long as one stage is missing nothing of the
submission has run, and all of it can be cancelled; and if none is missing, only the release is.
Whoever was killed between the release and its event left a submission that runs: it goes on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planit.backends.base import Backend, TaggedJob, refuse_left
from planit.errors import RunError
from planit.record import history as histories
from planit.record import markers
from planit.record.files import read_json
from planit.record.history import History
from planit.record.jobs import JobRef
from planit.record.rundir import RunDir

STOPPED = "it had stopped in the middle"


def settle(run: RunDir, past: History, backend: Backend, *, finish: bool) -> History:
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
    tags = {run.tag(number, stage["number"]): stage["number"] for stage in stages}
    prefix = run.tag(number, 0).removesuffix("0")
    found = backend.tagged(prefix, {stage["cluster"] for stage in stages})
    found.refuse_silence()
    queued = {tags[job.tag]: job for job in found.jobs if job.tag in tags}
    _write_down(run, past, number, queued)
    all_live = len(queued) == len(stages) and all(job.live for job in queued.values())
    if _has_run(run, past, number) or (finish and all_live):
        roots = [queued[s["number"]] for s in stages if not s["edges"] and s["number"] in queued]
        backend.release(job.ref for job in roots if job.live)
        run.journal.append("released", number=number)
    else:
        jobs = dict.fromkeys([*past.jobs_of(number), *(job.ref for job in queued.values())])
        refuse_left(backend.cancel(jobs))
        run.journal.append(
            "aborted", number=number, reason=STOPPED, cancelled=[str(job) for job in jobs]
        )
    return histories.read(run)


def _write_down(run: RunDir, past: History, number: int, queued: Mapping[int, TaggedJob]) -> None:
    """Journal the jobs that only Slurm knows of."""
    for stage, job in queued.items():
        if (number, stage) not in past.jobs:
            ref: JobRef = job.ref
            run.journal.append(
                "submitted", number=number, stage=stage, job=ref.job_id, cluster=ref.cluster
            )


def _has_run(run: RunDir, past: History, number: int) -> bool:
    tries = (markers.read(run.step_dir(leaf.slug)) for leaf in past.leaves)
    return markers.any_of(tries, number)
