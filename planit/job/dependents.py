"""Cancels what can never run because this job's step failed.

Slurm can do it (``--kill-on-invalid-dep``), but not for arrays that are linked task by task: there
it looks at the whole array as soon as it has forgotten the task itself (MinJobAge), and cancels
the tasks behind steps that succeeded because another one failed. The record knows better. Whatever
this does not reach ends by itself: it is blocked when it starts.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from planit.job.gate import Place
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.stages import StageDir, stage_dirs

_TIMEOUT_S = 30.0
_MAX_NAMED = 500  # jobs in one call


def cancel_dependents(place: Place) -> None:
    """Cancel the jobs behind a step that failed, in its own submission and in later ones."""
    by_cluster: dict[str | None, list[str]] = {}
    for job in dependents(place.run_path, place.submission, place.stage, place.index or 0):
        by_cluster.setdefault(job.cluster, []).append(job.job_id)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SCANCEL_")}
    for cluster, ids in by_cluster.items():
        on = [] if cluster is None else ["-M", cluster]
        for start in range(0, len(ids), _MAX_NAMED):
            command = ["scancel", "--quiet", *on, *ids[start : start + _MAX_NAMED]]
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(
                    command,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=_TIMEOUT_S,
                    check=False,
                )


@dataclass
class _Reached:
    """What of a stage can never run: some tasks, or all."""

    tasks: set[int] = field(default_factory=set)
    whole: bool = False

    def holds(self, index: int) -> bool:
        return self.whole or index in self.tasks

    @property
    def any(self) -> bool:
        return self.whole or bool(self.tasks)


def dependents(run_path: Path, submission: int, stage: int, index: int) -> Iterator[JobRef]:
    """The jobs (arrays as a whole, or their tasks) that wait for a task, directly or not."""
    reached: dict[tuple[int, int], _Reached] = {(submission, stage): _Reached({index})}
    for one in stage_dirs(run_path):  # an edge points to an earlier one
        key = (one.submission, one.number)
        if key <= (submission, stage):
            continue
        found = _reached(one, reached)
        if found.any:
            reached[key] = found
            ticket = tickets.read(run_path, one.submission)
            job = ticket.jobs.get(one.number) if ticket is not None else None
            if job is not None:
                yield from _jobs(job, found)


def _reached(one: StageDir, reached: dict[tuple[int, int], _Reached]) -> _Reached:
    found = _Reached()
    edges, also = one.after()
    for kind, parent in edges:
        before = reached.get((one.submission, parent))
        if before is None:
            continue
        if kind == "aftercorr" and not before.whole:
            found.tasks |= before.tasks
        else:
            found.whole = True
    for step in also:
        before = reached.get((step.submission, step.stage))
        found.whole |= before is not None and before.holds(step.index)
    return found


def _jobs(job: JobRef, found: _Reached) -> Iterator[JobRef]:
    if found.whole:
        yield job
    else:
        for task in sorted(found.tasks):
            yield JobRef(job.cluster, f"{job.job_id}_{task}")
