"""May this job run this step? Asked in the job, before anything of the user's runs.

Slurm's dependencies only say when to ask. What they mean can be wrong: a parent that failed and
that Slurm has forgotten (MinJobAge) counts as satisfied, and a job may have been submitted twice.
So the record decides. It may be on a network file system whose caches lag by a minute: what is
not there yet is waited for, with a limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.markers import Outcome
from planit.record.stage_dir import Needed, StageDir
from planit.record.task_files import TaskFiles

RECORD_WAIT_S = 90.0  # longer than a network file system caches what a folder holds (nfs: 60 s)
_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 2.0
_THREADS = 16
_MANY = 64  # steps from which threads pay: on a network file system each look is a round trip
_MAX_DEPTH = 50
_LOOKED_INTO = 8  # missing steps whose own parents are asked why they never ran
_Found = TypeVar("_Found")


class NotOfRecordError(Exception):
    """This job is not the one that the record names for its step: it must leave no trace there."""


class BlockedError(Exception):
    """A step before this one did not succeed, so this one never runs."""


@dataclass(frozen=True)
class Place:
    """Which step this job is.

    Attributes:
        run_path: the run directory.
        submission, stage: where it stands in the run.
        index: the array index, or None for a single job.
        name: the step's name; "" for a packed job.
        job: the job's (or the whole array's) id, and the cluster that it runs on.
    """

    run_path: Path
    submission: int
    stage: int
    index: int | None
    name: str
    job: JobRef

    @classmethod
    def from_environment(cls) -> Place:
        """As the script and Slurm say."""
        index = os.environ.get("SLURM_ARRAY_TASK_ID")
        array = os.environ.get("SLURM_ARRAY_JOB_ID") if index is not None else None
        return cls(
            run_path=Path(os.environ["PLANIT_RUN_DIR"]),
            submission=int(os.environ["PLANIT_SUBMISSION"]),
            stage=int(os.environ["PLANIT_STAGE"]),
            index=None if index is None else int(index),
            name=os.environ.get("PLANIT_STEP", ""),  # a packed job has many
            job=JobRef(
                os.environ.get("SLURM_CLUSTER_NAME"), array or os.environ.get("SLURM_JOB_ID", "")
            ),
        )


def check(place: Place, wait_s: float | None = None) -> None:
    """Return if the step may run.

    Args:
        place: the step and the job.
        wait_s: seconds to wait for a record that is not there yet; by default what
            PLANIT_RECORD_WAIT_S says, else `RECORD_WAIT_S`.

    Raises:
        NotOfRecordError: another job runs the step, or the submission was taken back.
        BlockedError: a step before it did not succeed.
    """
    limit = _limit() if wait_s is None else wait_s
    _check_ticket(place, limit)
    stage = StageDir(place.run_path, place.submission, place.stage)
    needed = _until(lambda: stage.needed(place.index or 0), limit, stage.path)
    if needed is None:
        raise BlockedError(f"{stage.path} does not say what the step waits for")
    if needed:
        _check_needed(place.run_path, needed, limit)


def _limit() -> float:
    try:
        return float(os.environ["PLANIT_RECORD_WAIT_S"])
    except (KeyError, ValueError):
        return RECORD_WAIT_S


def _check_ticket(place: Place, limit: float) -> None:
    folder = tickets.path_of(place.run_path, place.submission).parent
    ticket = _until(lambda: tickets.read(place.run_path, place.submission), limit, folder)
    if ticket is None:
        raise NotOfRecordError("the submission was never released")
    if ticket.revoked is not None:
        raise NotOfRecordError(f"the submission was taken back: {ticket.revoked}")
    of_record = ticket.jobs.get(place.stage)
    same_cluster = of_record is None or of_record.cluster in (None, place.job.cluster)
    if of_record is None or of_record.job_id != place.job.job_id or not same_cluster:
        raise NotOfRecordError(f"the job of this step is {of_record}, and this is {place.job}")
    refuse_resubmitted(place.run_path, place.submission, [place.name])


def refuse_resubmitted(run_path: Path, submission: int, names: Collection[str]) -> None:
    """Raise NotOfRecordError if a later submission has one of these steps."""
    later = submission + 1
    while (newer := tickets.read(run_path, later)) is not None:
        if newer.revoked is None and any(name in newer.steps for name in names):
            raise NotOfRecordError(f"the step was submitted again, in submission {later}")
        later += 1


def _check_needed(run_path: Path, needed: list[Needed], limit: float) -> None:
    """Every step in `needed` must have succeeded; what has no end marker yet is waited for."""
    end = time.monotonic() + limit
    pause = _FIRST_PAUSE_S
    missing = needed
    while True:
        missing = [
            step
            for step, outcome in zip(missing, _outcomes(run_path, missing), strict=True)
            if not _has_succeeded(step, outcome)
        ]
        if not missing:
            return
        for step in missing[:_LOOKED_INTO]:
            if (cause := _never_ran(run_path, step)) is not None:
                raise BlockedError(cause)
        if time.monotonic() >= end:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise BlockedError(f"{missing[0].name}{more} left no end marker within {limit:g} s")
        time.sleep(pause)
        pause = min(_LAST_PAUSE_S, 2 * pause)


def all_have_succeeded(run_path: Path, steps: list[Needed] | None) -> bool:
    """Whether each of these steps is known to have succeeded, at this moment."""
    return steps is not None and all(one is Outcome.SUCCEEDED for one in _outcomes(run_path, steps))


def _outcomes(run_path: Path, steps: list[Needed]) -> list[Outcome | None]:
    def outcome(step: Needed) -> Outcome | None:
        return TaskFiles(run_path, step.submission, step.stage, step.index).final_outcome()

    if len(steps) < _MANY:
        return [outcome(step) for step in steps]
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(outcome, steps, chunksize=64))


def _has_succeeded(step: Needed, outcome: Outcome | None) -> bool:
    """Whether a step has succeeded; raises BlockedError if it has ended otherwise."""
    if outcome in (None, Outcome.REQUEUED):
        return False
    if outcome is not Outcome.SUCCEEDED:
        raise BlockedError(f"{step.name} {outcome}")
    return True


def _never_ran(run_path: Path, step: Needed, depth: int = 0) -> str | None:
    """Why a step without a marker never ran: one before it failed, and Slurm cancelled it."""
    if depth >= _MAX_DEPTH:
        return None
    stage = StageDir(run_path, step.submission, step.stage)
    for before in (stage.needed(step.index) or [])[:_LOOKED_INTO]:
        outcome = _outcomes(run_path, [before])[0]
        if outcome is Outcome.SUCCEEDED:
            continue
        if outcome not in (None, Outcome.REQUEUED):
            return f"{before.name} {outcome}, so {step.name} never ran"
        if (cause := _never_ran(run_path, before, depth + 1)) is not None:
            return cause
    return None


def _until(read: Callable[[], _Found | None], limit: float, folder: Path) -> _Found | None:
    """What `read` finds, which is asked again until the limit; opening the folder refreshes it."""
    end = time.monotonic() + limit
    pause = _FIRST_PAUSE_S
    while (found := read()) is None and time.monotonic() < end:
        time.sleep(pause)
        pause = min(_LAST_PAUSE_S, 2 * pause)
        with suppress(OSError):
            os.close(os.open(folder, os.O_RDONLY | os.O_DIRECTORY))
    return found
