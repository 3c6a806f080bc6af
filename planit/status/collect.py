"""States of a run's steps: its markers first, then one look at squeue, then one at sacct.

A state is derived in this order, and what none of the three knows is LOST, never RUNNING. However
many steps a run has, each cluster is asked at most once per tool, and what is final is not asked
for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from planit.backends.base import Client
from planit.errors import SchedulerError
from planit.nodes import walltime
from planit.record import history as histories
from planit.record import lock, logs, markers
from planit.record.history import History, Leaf, Placement
from planit.record.jobs import JobView
from planit.record.markers import Attempt, Tries
from planit.record.rundir import RunDir
from planit.status import derive
from planit.status.cache import KnownStates
from planit.status.states import RunStatus, State, StepStatus, printable


def look(run: RunDir, client: Client, *, past: History | None = None) -> RunStatus:
    """The state of every step now."""
    past = past or histories.read(run)
    return _Look(run, client, past).status()


class _Look:
    def __init__(self, run: RunDir, client: Client, past: History) -> None:
        self.run = run
        self.client = client
        self.past = past
        self.problems = list(past.problems)
        self.queued: dict[str | None, dict[str, JobView]] = {}
        self.accounted: dict[str | None, dict[str, JobView]] = {}
        self.silent: set[str | None] = set()
        self.known = KnownStates(run)

    def status(self) -> RunStatus:
        tries = {leaf.name: markers.read(self.run.step_dir(leaf.slug)) for leaf in self.past.leaves}
        for one in tries.values():
            self.problems += one.problems
        self._ask(tries)
        steps = {leaf.name: self._step(leaf, tries[leaf.name]) for leaf in self.past.leaves}
        started = {name for name, one in tries.items() if self._newest(name, one) is not None}
        steps = derive.with_causes(steps, self.past, started)
        self.known.write(steps.values())
        submitting = lock.owner_of(self.run.path) if self.past.incomplete else None
        return RunStatus(
            plan=str(self.run.manifest.get("plan")),
            run_id=self.run.run_id,
            steps=tuple(steps.values()),
            incomplete=self._is_incomplete(steps, tries) and submitting is None,
            submitting=submitting,
            stale=any(step.stale for step in steps.values()),
            problems=tuple(self.problems),
        )

    def _is_incomplete(self, steps: Mapping[str, StepStatus], tries: Mapping[str, Tries]) -> bool:
        """A submission of which something ran was released, even if nobody could write that down.

        Unless roots of it are still held: Slurm releases many jobs one after another.
        """
        if not self.past.incomplete:
            return False
        held = any(step.state is State.HELD for step in steps.values())
        return held or not markers.any_of(tries.values(), self.past.last_submission)

    def _newest(self, name: str, tries: Tries) -> Attempt | None:
        """The last attempt at a step, if it belongs to the newest submission of it."""
        place, last = self.past.placements.get(name), tries.last
        return last if place and last and last.submission == place.submission else None

    def _ask(self, tries: Mapping[str, Tries]) -> None:
        """One squeue per cluster with open steps, and one sacct for what squeue does not know."""
        wanted: dict[str | None, set[str]] = {}
        for name, place in self.past.placements.items():
            if place.key is not None and not self._is_settled(name, place, tries[name]):
                wanted.setdefault(place.cluster, set()).add(place.key)
        for cluster, keys in wanted.items():
            try:
                self.queued[cluster] = self.client.queue(cluster)
            except SchedulerError as silence:
                self.silent.add(cluster)
                self.problems.append(silence.message)
                continue
            missing = {k for k in keys if k not in self.queued[cluster]}
            if not missing:
                continue
            try:
                self.accounted[cluster] = self.client.accounting(cluster, missing)
            except SchedulerError as silence:
                self.problems.append(f"{silence.message} (states from markers and squeue only)")

    def _is_settled(self, name: str, place: Placement, tries: Tries) -> bool:
        if place.submission in self.past.aborted:
            return True
        if self.known.final(name, place, tries.count) is not None:
            return True
        last = self._newest(name, tries)
        return last is not None and tries.outcome(last) in ("succeeded", "failed")

    def _step(self, leaf: Leaf, tries: Tries) -> StepStatus:
        place = self.past.placements.get(leaf.name)
        status = StepStatus(leaf.name, leaf.slug, State.NOT_SUBMITTED, attempt=tries.count)
        if place is None:
            return replace(status, requested_s=walltime.parse(leaf.time).total_seconds())
        requested = walltime.parse(place.options["time"]).total_seconds()
        status = replace(status, job=place.key, cluster=place.cluster, requested_s=requested)
        known = self.known.final(leaf.name, place, tries.count)
        if known is not None:
            return replace(status, **known)
        last = self._newest(leaf.name, tries)
        settled = derive.from_markers(status, tries, last) if last else None
        return self._unless_out_of_memory(
            settled or self._from_scheduler(status, place, leaf), leaf, tries
        )

    def _from_scheduler(self, status: StepStatus, place: Placement, leaf: Leaf) -> StepStatus:
        if place.key is None or place.submission in self.past.aborted:
            return self._without_job(status, place)
        tries = markers.read(self.run.step_dir(leaf.slug))  # may have ended since the first look
        last = self._newest(leaf.name, tries)
        if last is not None and (settled := derive.from_markers(status, tries, last)) is not None:
            return settled
        if place.cluster in self.silent:
            return self._last_known(status, started=last is not None)
        view = self.queued.get(place.cluster, {}).get(place.key)
        view = view or self.accounted.get(place.cluster, {}).get(place.key)
        if view is None:
            return derive.gone(status, tries, last)
        return derive.from_view(status, view, tries, last)

    def _without_job(self, status: StepStatus, place: Placement) -> StepStatus:
        aborted = self.past.aborted.get(place.submission)
        if self.past.was_cancelled(status.name):
            return replace(status, job=None, state=State.CANCELLED, cause="cancelled by planit")
        if aborted is not None:
            return replace(
                status, job=None, cause=f"the submission was taken back: {printable(aborted)}"
            )
        return replace(status, cause="the submission stopped before it")

    def _last_known(self, status: StepStatus, *, started: bool) -> StepStatus:
        state = self.known.last(status.name, status.job) or State.PENDING
        if state is State.PENDING and started:
            state = State.RUNNING
        return replace(status, state=state, stale=True)

    def _unless_out_of_memory(self, status: StepStatus, leaf: Leaf, tries: Tries) -> StepStatus:
        """Where Slurm watches the memory by polling, its state is FAILED; the log says why."""
        if status.state not in (State.FAILED, State.CANCELLED):
            return status
        last = self._newest(leaf.name, tries)
        silent = last is not None and tries.outcome(last) != "failed"
        killed = last is not None and derive.was_killed(tries, last)
        if (silent or killed) and logs.has_memory_complaint(self.run, self.past, leaf):
            return derive.out_of_memory(status)
        return status
