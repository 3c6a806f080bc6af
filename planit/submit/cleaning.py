"""Deletes runs that nothing can happen to any more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from planit.backends import registry
from planit.backends.base import Backend
from planit.errors import PlanitError, RunError, SchedulerError
from planit.record import history as histories
from planit.record import lock, removal, trust
from planit.record.history import History
from planit.record.run_dir import RunDir
from planit.status.run_status import run_status
from planit.status.states import RunStatus


@dataclass(frozen=True)
class Removable:
    """A run that may be deleted.

    Attributes:
        path: its folder, without links.
        status: how it ended.
    """

    path: Path
    status: RunStatus


def removable(run: RunDir, backend: Backend) -> Removable:
    """A run, if it may be deleted.

    Raises:
        RunError: it is another user's, locked, half submitted or alive, or cannot be read.
        SchedulerError: the scheduler does not answer, so nobody can tell.
    """
    if run.path.is_symlink():
        raise RunError(f"{run.path} is a symbolic link")
    run = RunDir(trust.refuse_untrusted(run.path))
    if (owner := lock.owner_of(run.path)) is not None:
        raise RunError(f"it is being worked on by {owner}")
    return _unless_alive(run, backend)


def _unless_alive(run: RunDir, backend: Backend) -> Removable:
    history = histories.read(run)
    for number in sorted(history.unreadable):
        raise RunError(f"submission {number} of it cannot be read", hint="planit cancel clears it")
    _refuse_jobs(run, history, backend)
    status = run_status(run, backend.client, history=history)
    if history.incomplete:
        raise RunError(
            "its submission stopped in the middle",
            hint="planit resume finishes it, planit cancel clears it",
        )
    if status.stale:
        raise SchedulerError("its scheduler gives no answer")
    for step in status.steps:
        if not step.state.is_final or step.queued or step.ending:
            raise RunError(f"{step.name} is {step.state}", hint="planit cancel ends it")
    return Removable(run.path, status)


def _refuse_jobs(run: RunDir, history: History, backend: Backend) -> None:
    """Raise if a job of the run is in the queue, in its record or not."""
    clusters: Mapping[str | None, None] = {
        **{job.cluster: None for job in history.jobs.values()},
        **{place.cluster: None for place in history.placements.values()},
    }
    found = backend.tagged(run.tag_prefix(), clusters or {None: None})
    live = [str(job.ref) for job in found.jobs if job.live]
    if live:
        raise RunError(f"job {live[0]} of it is in the queue", hint="planit cancel ends it")
    if found.no_answer:
        reasons = "; ".join(dict.fromkeys(found.no_answer.values()))
        raise SchedulerError(f"its scheduler gives no answer: {reasons}")


def users(runs: Iterable[RunDir]) -> dict[Path, list[RunDir]]:
    """The runs that use the folders of earlier ones, by the folders of those, without links."""
    found: dict[Path, list[RunDir]] = {}
    for run in runs:
        for earlier in run.after:
            found.setdefault(earlier.resolve(), []).append(run)
    return found


def refuse_used(found: Removable, users: Mapping[Path, Sequence[RunDir]]) -> None:
    """Raise RunError if a run that may be alive uses the folders of this one's steps."""
    for run in users.get(found.path, ()):
        try:
            removable(run, registry.of_run(run))
        except PlanitError as error:
            raise RunError(f"run {run.run_id} uses its folders, and {error.message}") from None


def delete(found: Removable, backend: Backend) -> None:
    """Delete a run, unless something has happened to it since it was found.

    Raises:
        RunError: as `removable`, or something in it cannot be deleted.
        SchedulerError: the scheduler does not answer any more.
    """
    with lock.RunLock(found.path):
        _unless_alive(RunDir(found.path), backend)
        removal.remove(found.path)


def finish(path: Path) -> None:
    """Delete the rest of a run whose deletion had stopped in the middle. Raises RunError."""
    path = trust.refuse_untrusted(path)
    with lock.RunLock(path):
        removal.remove(path)
