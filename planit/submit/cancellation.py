"""Cancels what is not final, with everything behind it, on every cluster of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from planit.backends.base import Backend, refuse_left
from planit.errors import RunError, suggest
from planit.record import history as histories
from planit.record import trust
from planit.record.history import History, Placement
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.status.run_status import run_status
from planit.status.states import RunStatus, StepStatus
from planit.submit.interrupted import clear_strays, finish_interrupted, refuse_unreadable

_MAX_LISTED = 30  # steps in a hint


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation did.

    Attributes:
        steps: the steps it cancelled.
        ended: those that had ended before.
        cleared: the steps of a submission that had stopped in the middle, and was cleared away.
        strays: jobs of the run that its record did not name, and which were cancelled too.
    """

    steps: tuple[str, ...]
    ended: tuple[str, ...]
    cleared: tuple[str, ...] = ()
    strays: tuple[JobRef, ...] = ()


def cancel(run: RunDir, backend: Backend, names: Collection[str] = ()) -> Cancelled:
    """Cancel the named steps and everything behind them; without names, the whole run.

    Doing it again tries again what was not cancelled.

    Raises:
        RunError: an unknown step, somebody else is working on the run, or could have written it.
        SchedulerError: Slurm does not answer, or jobs are still in the queue afterwards.
    """
    run = RunDir(trust.refuse_untrusted(run.path))
    with RunLock(run.path):
        before = histories.read(run)
        refuse_unknown(before, names)
        if names:
            refuse_unreadable(run, before)
        history = finish_interrupted(run, before, backend, finish=False)
        cleared = _cleared(before, history)
        strays = clear_strays(run, history, backend)
        chosen = history.behind(names) if names else {leaf.name for leaf in history.leaves}
        status = run_status(run, backend.client, history=history, ask_all=True)
        open_steps = [s.name for s in status.steps if s.name in chosen and _is_open(s, history)]
        refuse_part_of_packed(history, status, open_steps)
        left = _cancel(run, backend, history, status, open_steps)
        refuse_left(left)
        ended = [s.name for s in status.steps if s.name in chosen and s.name not in open_steps]
    return Cancelled(tuple(open_steps), tuple(ended), cleared, strays)


def _cancel(
    run: RunDir, backend: Backend, history: History, status: RunStatus, names: list[str]
) -> dict[JobRef, str]:
    """Cancel steps and journal those that are gone; the jobs that are not, and why."""
    if not names:
        return {}
    jobs = jobs_of(history, status, names)
    left = backend.cancel(jobs)
    ids = {(job.cluster, job.job_id) for job in left}
    gone = [name for name in names if ids.isdisjoint(_ids(history.placements[name]))]
    if gone:
        run.journal.append("cancelled", number=history.last_submission, steps=gone)
    return left


def _ids(place: Placement) -> set[tuple[str | None, str]]:
    """How a job may be named in a list: the task, or the whole array."""
    job = place.job
    return set() if job is None else {(job.cluster, job.job_id), (job.cluster, str(place.key))}


def _cleared(before: History, after: History) -> tuple[str, ...]:
    number = before.last_submission
    if not before.incomplete or number not in after.aborted:
        return ()
    return tuple(n for n, place in before.placements.items() if place.submission == number)


def _is_open(step: StepStatus, history: History) -> bool:
    """Blocked ones too, if their job waits for ever because Slurm was not told to cancel it."""
    if step.ending and history.was_cancelled(step.name):
        return False
    return step.job is not None and (step.queued or not step.state.is_final)


def refuse_part_of_packed(
    history: History, status: RunStatus, names: Collection[str], verb: str = "cancel"
) -> None:
    """Raise RunError if a job of these steps has other packed steps in it that have not ended.

    Slurm can only cancel the whole of it.
    """
    wanted = set(names)
    jobs: dict[tuple[str | None, str | None], str] = {}
    for name in names:
        place = history.placements.get(name)
        if place is not None and place.packed is not None:
            jobs[place.cluster, place.key] = name
    for step in status.steps:
        if step.state.is_final or step.name in wanted:
            continue
        place = history.placements.get(step.name)
        if place is None or place.packed is None or (place.cluster, place.key) not in jobs:
            continue
        name = jobs[place.cluster, place.key]
        raise RunError(
            f"cannot {verb} step {name!r}: it is packed in job {place.key} with {step.name!r},"
            f" which is {step.state}",
            hint="planit cancel, without a step, cancels the run; or wait until the job has ended",
        )


def refuse_unknown(history: History, names: Collection[str]) -> None:
    """Raise RunError for a name that is not a step of the run."""
    steps = dict.fromkeys(leaf.name for leaf in history.leaves)
    for name in names:
        if name not in steps:
            shown = list(steps)[:_MAX_LISTED]
            raise RunError(f"no step {name!r} in this run", hint=suggest(name, shown))


def jobs_of(history: History, status: RunStatus, names: Collection[str]) -> list[JobRef]:
    """The jobs of steps; an array whose open tasks are all among them is taken as a whole."""
    wanted = set(names)
    open_names = {step.name for step in status.steps if not step.state.is_final} | wanted
    tasks: dict[JobRef, list[Placement]] = defaultdict(list)
    spared: set[JobRef] = set()
    for name, place in history.placements.items():
        if place.job is None:
            continue
        if name in wanted:
            tasks[place.job].append(place)
        elif name in open_names:
            spared.add(place.job)
    jobs: list[JobRef] = []
    for job, places in tasks.items():
        if job in spared:
            jobs += dict.fromkeys(JobRef(job.cluster, str(place.key)) for place in places)
        else:
            jobs.append(job)
    return jobs
