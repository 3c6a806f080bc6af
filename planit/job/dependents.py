"""What a job does for the jobs that wait for it, when its step has ended.

Between arrays that are linked task by task (``aftercorr``) Slurm 22.05 cannot be left alone with
it. Once it has forgotten a task (MinJobAge, 300 s by default) it judges the task behind it by the
rest of the array: a step behind one that succeeded is then cancelled, or never starts, because
another one failed. The record knows better. So a step that succeeded takes the dependency off the
task behind it, and one that failed cancels what can never run. What this does not reach Slurm
lets go or keeps; whatever starts looks into the record first.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from planit.job.gate import Place, all_have_succeeded
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.stage_dir import StageDir, stage_dirs

_TIMEOUT_S = 30.0
_MAX_NAMED = 500  # jobs in one call


def cancel_dependents(place: Place, tasks: Collection[int] = ()) -> None:
    """Cancel the jobs behind a step that failed, in its own submission and in later ones.

    `tasks` are those of a packed job that did not succeed, by their places in the stage.
    """
    by_cluster: dict[str | None, list[str]] = {}
    failed = tasks or [place.index or 0]
    for job in dependents(place.run_path, place.submission, place.stage, failed):
        by_cluster.setdefault(job.cluster, []).append(job.job_id)
    for cluster, ids in by_cluster.items():
        for start in range(0, len(ids), _MAX_NAMED):
            _run(["scancel", *_on(cluster), "--quiet", *ids[start : start + _MAX_NAMED]])


def release_dependents(place: Place) -> None:
    """Let the tasks go that wait for just this task, and others that have succeeded too."""
    if place.index is None:
        return
    if (ticket := tickets.read(place.run_path, place.submission)) is None:
        return
    for one in stage_dirs(place.run_path):
        job = ticket.jobs.get(one.number)
        if one.submission != place.submission or one.number <= place.stage or job is None:
            continue  # an edge points to an earlier stage
        after = one.after()
        if ("aftercorr", place.stage) not in after.edges or after.is_in_lane:
            continue
        if all_have_succeeded(place.run_path, one.needed(place.index)):
            task = f"JobId={job.job_id}_{place.index}"
            _run(["scontrol", *_on(job.cluster), "update", task, "Dependency="])


def _on(cluster: str | None) -> list[str]:
    return [] if cluster is None else ["-M", cluster]


def _run(command: list[str]) -> None:
    """Ask Slurm. If it does not answer, nothing is lost but time."""
    options = ("SCANCEL_", "SLURM_CLUSTERS")
    with suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command,
            env={k: v for k, v in os.environ.items() if not k.startswith(options)},
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


def dependents(
    run_path: Path, submission: int, stage: int, tasks: Collection[int]
) -> Iterator[JobRef]:
    """The jobs (arrays as a whole, or their tasks) that wait for tasks, directly or not."""
    reached: dict[tuple[int, int], _Reached] = {(submission, stage): _Reached(set(tasks))}
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
    after = one.after()
    for kind, parent in after.edges:
        before = reached.get((one.submission, parent))
        if before is None:
            continue
        if kind == "aftercorr" and not before.whole:
            found.tasks |= before.tasks
        else:
            found.whole = True
    for step in after.also:
        before = reached.get((step.submission, step.stage))
        found.whole |= before is not None and before.holds(step.index)
    return found


def _jobs(job: JobRef, found: _Reached) -> Iterator[JobRef]:
    if found.whole:
        yield job
    else:
        for task in sorted(found.tasks):
            yield JobRef(job.cluster, f"{job.job_id}_{task}")
