"""Cancels what is not final, with everything behind it, on every cluster of the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass

from planit.backends.base import Backend
from planit.errors import RunError, SchedulerError, suggest
from planit.record import history as histories
from planit.record import trust
from planit.record.history import History, Placement
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.rundir import RunDir
from planit.status.collect import look
from planit.status.states import RunStatus, StepStatus
from planit.submit.interrupted import settle


@dataclass(frozen=True)
class Cancelled:
    """What a cancellation did.

    Attributes:
        steps: the steps it cancelled.
        ended: those that had ended before.
        cleared: the steps of a submission that had stopped in the middle, and was cleared away.
    """

    steps: tuple[str, ...]
    ended: tuple[str, ...]
    cleared: tuple[str, ...] = ()


def cancel(run: RunDir, backend: Backend, names: Collection[str] = ()) -> Cancelled:
    """Cancel the named steps and everything behind them; without names, the whole run.

    Doing it again does nothing more.

    Raises:
        RunError: an unknown step, somebody else is working on the run, or could have written it.
        SchedulerError: Slurm does not answer.
    """
    run = RunDir(trust.refuse_untrusted(run.path))
    with RunLock(run.path):
        before = histories.read(run)
        refuse_unknown(before, names)
        past = settle(run, before, backend, finish=False)
        cleared = _cleared(before, past)
        chosen = past.behind(names) if names else {leaf.name for leaf in past.leaves}
        status = look(run, backend.client, past=past)
        if status.stale:
            raise SchedulerError("; ".join(status.problems) or "Slurm does not answer")
        open_steps = [
            step.name
            for step in status.steps
            if step.name in chosen and _can_be_cancelled(step, past)
        ]
        if open_steps:
            backend.cancel(jobs_of(past, status, open_steps))
            run.journal.append("cancelled", number=past.last_submission, steps=open_steps)
        ended = [s.name for s in status.steps if s.name in chosen and s.name not in open_steps]
    return Cancelled(tuple(open_steps), tuple(ended), cleared)


def _cleared(before: History, past: History) -> tuple[str, ...]:
    number = before.last_submission
    if not before.incomplete or number not in past.aborted:
        return ()
    return tuple(n for n, place in before.placements.items() if place.submission == number)


def _can_be_cancelled(step: StepStatus, past: History) -> bool:
    """Blocked ones too, if their job waits for ever because Slurm was not told to cancel it."""
    return (step.queued or not step.state.is_final) and not past.was_cancelled(step.name)


def refuse_unknown(past: History, names: Collection[str]) -> None:
    """Raise RunError for a name that is no step of the run."""
    known = [leaf.name for leaf in past.leaves]
    for name in names:
        if name not in known:
            shown = known if len(known) <= 30 else known[:30]
            raise RunError(f"no step {name!r} in this run", hint=suggest(name, shown))


def jobs_of(past: History, status: RunStatus, names: Collection[str]) -> list[JobRef]:
    """The jobs of steps; an array whose open tasks are all among them is taken as a whole."""
    wanted = set(names)
    open_names = {step.name for step in status.steps if not step.state.is_final} | wanted
    tasks: dict[JobRef, list[Placement]] = defaultdict(list)
    spared: set[JobRef] = set()
    for name, place in past.placements.items():
        if place.job is None:
            continue
        if name in wanted:
            tasks[place.job].append(place)
        elif name in open_names:
            spared.add(place.job)
    jobs: list[JobRef] = []
    for job, places in tasks.items():
        if job in spared:
            jobs += [JobRef(job.cluster, str(place.key)) for place in places]
        else:
            jobs.append(job)
    return jobs
