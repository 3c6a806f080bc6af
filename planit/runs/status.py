"""States of a run's steps: its markers first, then one look at squeue, then one at sacct.

A state is derived in this order, and what none of the three knows is LOST, never RUNNING. However
many steps a run has, each cluster is asked at most once per tool, and what is final is not asked
for again.
"""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from planit.backends.client import JobView, SlurmClient
from planit.errors import SchedulerError
from planit.nodes import walltime
from planit.runs import history as histories
from planit.runs import markers
from planit.runs.files import read_json, write_json
from planit.runs.history import History, Leaf, Placement
from planit.runs.markers import Tries
from planit.runs.rundir import RunDir


class State(enum.StrEnum):
    """What is known of a step."""

    DONE = "DONE"
    RUNNING = "RUNNING"
    PENDING = "PENDING"
    HELD = "HELD"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    CANCELLED = "CANCELLED"
    BLOCKED = "BLOCKED"
    LOST = "LOST"
    NOT_SUBMITTED = "NOT_SUBMITTED"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the step by itself."""
        return self not in (State.RUNNING, State.PENDING, State.HELD)

    @property
    def is_failure(self) -> bool:
        """Whether the step itself went wrong, rather than a step before it."""
        return self in _FAILURES


_FAILURES = frozenset(
    {State.FAILED, State.TIMEOUT, State.OUT_OF_MEMORY, State.NODE_FAIL, State.CANCELLED, State.LOST}
)

# What a step may look like that waits for one that failed: blocked, whatever Slurm does about it.
_NEVER_STARTED = frozenset(
    {State.CANCELLED, State.LOST, State.BLOCKED, State.PENDING, State.HELD, State.NOT_SUBMITTED}
)

# Slurm's job states (squeue manual, "JOB STATE CODES") as states of a step.
_SLURM_STATES = {
    "COMPLETED": State.DONE,
    "PENDING": State.PENDING,
    "REQUEUED": State.PENDING,
    "REQUEUE_FED": State.PENDING,
    "REQUEUE_HOLD": State.HELD,
    "SPECIAL_EXIT": State.HELD,
    "RESV_DEL_HOLD": State.HELD,
    "RUNNING": State.RUNNING,
    "CONFIGURING": State.RUNNING,
    "COMPLETING": State.RUNNING,
    "SUSPENDED": State.RUNNING,
    "STOPPED": State.RUNNING,
    "SIGNALING": State.RUNNING,
    "STAGE_OUT": State.RUNNING,
    "RESIZING": State.RUNNING,
    "PREEMPTED": State.CANCELLED,
    "REVOKED": State.CANCELLED,
    "CANCELLED": State.CANCELLED,
    "DEADLINE": State.TIMEOUT,
    "TIMEOUT": State.TIMEOUT,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
    "NODE_FAIL": State.NODE_FAIL,
    "BOOT_FAIL": State.NODE_FAIL,
    "FAILED": State.FAILED,
}


@dataclass(frozen=True)
class StepStatus:
    """One step of a run.

    Attributes:
        state: what is known of it.
        job: ``12``, or ``12_3`` for an array task; None before it has an id.
        cluster: the cluster that the id belongs to, None for the default one.
        attempt: how often the step was started (requeues and resumes included).
        elapsed_s, requested_s: seconds run so far, and wall time asked for.
        node: where it runs or ran.
        cause: for what failed or will never run, why.
        stale: the scheduler did not answer, and this is the last that is known.
        queued: the scheduler still has the job, even if it can never run.
        error: type, message and traceback of the exception that ended it.
    """

    name: str
    slug: str
    state: State
    job: str | None = None
    cluster: str | None = None
    attempt: int = 0
    elapsed_s: float | None = None
    requested_s: float = 0.0
    node: str | None = None
    cause: str | None = None
    stale: bool = False
    queued: bool = False
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class RunStatus:
    """All steps of a run, in the order of the plan.

    Attributes:
        problems: what the run directory or the scheduler would not say, a line each.
        stale: whether a scheduler did not answer.
        incomplete: whether a submission stopped in the middle; its roots are held.
    """

    plan: str
    run_id: str
    steps: tuple[StepStatus, ...]
    incomplete: bool = False
    stale: bool = False
    problems: tuple[str, ...] = ()

    @property
    def counts(self) -> Counter[State]:
        return Counter(step.state for step in self.steps)

    @property
    def is_final(self) -> bool:
        return not self.stale and all(step.state.is_final for step in self.steps)

    @property
    def succeeded(self) -> bool:
        return all(step.state is State.DONE for step in self.steps)

    def step(self, name: str) -> StepStatus:
        return next(step for step in self.steps if step.name == name)


def look(run: RunDir, client: SlurmClient, *, past: History | None = None) -> RunStatus:
    """The state of every step now."""
    past = past or histories.read(run)
    return _Look(run, client, past).status()


class _Look:
    def __init__(self, run: RunDir, client: SlurmClient, past: History) -> None:
        self.run = run
        self.client = client
        self.past = past
        self.problems = list(past.problems)
        self.queued: dict[str | None, dict[str, JobView]] = {}
        self.accounted: dict[str | None, dict[str, JobView]] = {}
        self.silent: set[str | None] = set()
        self.known = self._read_known()

    def status(self) -> RunStatus:
        tries = {leaf.name: markers.read(self.run.step_dir(leaf.slug)) for leaf in self.past.leaves}
        for one in tries.values():
            self.problems += one.problems
        self._ask(tries)
        steps = {leaf.name: self._step(leaf, tries[leaf.name]) for leaf in self.past.leaves}
        steps = _with_causes(steps, self.past)
        self._write_known(steps)
        return RunStatus(
            plan=str(self.run.manifest.get("plan")),
            run_id=self.run.run_id,
            steps=tuple(steps.values()),
            incomplete=self.past.incomplete,
            stale=any(step.stale for step in steps.values()),
            problems=tuple(self.problems),
        )

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
            missing = {k.partition("_")[0] for k in keys if k not in self.queued[cluster]}
            if not missing:
                continue
            try:
                self.accounted[cluster] = self.client.accounting(cluster, missing)
            except SchedulerError as silence:
                self.problems.append(f"{silence.message} (states from markers and squeue only)")

    def _is_settled(self, name: str, place: Placement, tries: Tries) -> bool:
        if self._known_state(name, place) is not None:
            return True
        last = tries.last
        outcome = tries.outcome(last) if last and last.submission == place.submission else None
        return outcome in ("succeeded", "failed")

    def _step(self, leaf: Leaf, tries: Tries) -> StepStatus:
        place = self.past.placements.get(leaf.name)
        status = StepStatus(leaf.name, leaf.slug, State.NOT_SUBMITTED, attempt=tries.count)
        if place is None:
            return replace(status, requested_s=walltime.parse(leaf.time).total_seconds())
        requested = walltime.parse(place.options["time"]).total_seconds()
        status = replace(status, job=place.key, cluster=place.cluster, requested_s=requested)
        known = self._known_state(leaf.name, place)
        if known is not None:
            return replace(status, **known)
        last = tries.last
        if last is not None and last.submission == place.submission:
            settled = _from_markers(status, tries, last)
            if settled is not None:
                return settled
        return self._from_scheduler(status, place, leaf)

    def _from_scheduler(self, status: StepStatus, place: Placement, leaf: Leaf) -> StepStatus:
        if self.past.was_cancelled(leaf.name) and place.key is None:
            return replace(status, state=State.CANCELLED, cause="cancelled by planit")
        if place.submission in self.past.aborted:
            reason = f"the submission was taken back: {self.past.aborted[place.submission]}"
            return replace(status, state=State.NOT_SUBMITTED, cause=reason)
        if place.key is None:
            return replace(status, cause="the submission stopped before it")
        if place.cluster in self.silent:
            return self._last_known(status, leaf)
        tries = markers.read(self.run.step_dir(leaf.slug))  # may have ended since the first look
        last = tries.last if tries.last and tries.last.submission == place.submission else None
        if last is not None and (settled := _from_markers(status, tries, last)) is not None:
            return settled
        view = self.queued.get(place.cluster, {}).get(place.key)
        view = view or self.accounted.get(place.cluster, {}).get(place.key)
        return _gone(status, tries, last) if view is None else _from_view(status, view, tries, last)

    def _last_known(self, status: StepStatus, leaf: Leaf) -> StepStatus:
        before = self.known.get(leaf.name, {})
        state = State(before["state"]) if before.get("job") == status.job else State.PENDING
        started = markers.read(self.run.step_dir(leaf.slug)).starts
        if state is State.PENDING and started:
            state = State.RUNNING
        return replace(status, state=state, stale=True)

    # What the scheduler once said is kept, so that what is final is not asked for again.

    def _read_known(self) -> dict[str, dict[str, Any]]:
        content = read_json(self.run.path / "states.json")
        steps = content.get("steps") if isinstance(content, dict) else None
        if not isinstance(steps, dict):
            return {}
        names = set(State)
        return {
            name: known
            for name, known in steps.items()
            if isinstance(known, dict) and known.get("state") in names
        }

    def _known_state(self, name: str, place: Placement) -> dict[str, Any] | None:
        known = self.known.get(name)
        if known is None or known.get("job") != place.key or known.get("cluster") != place.cluster:
            return None
        state = State(known["state"])
        if not state.is_final or state in (State.BLOCKED, State.LOST, State.NOT_SUBMITTED):
            return None
        keep = ("elapsed_s", "node", "cause", "error", "attempt")
        return {"state": state, **{key: known[key] for key in keep if key in known}}

    def _write_known(self, steps: Mapping[str, StepStatus]) -> None:
        known = {
            name: {
                key: value
                for key in (
                    "state",
                    "job",
                    "cluster",
                    "elapsed_s",
                    "node",
                    "cause",
                    "error",
                    "attempt",
                )
                if (value := getattr(step, key)) is not None
            }
            for name, step in steps.items()
            if step.job is not None and not step.stale
        }
        if known and known != self.known:
            try:
                write_json(self.run.path / "states.json", {"steps": known})
            except OSError:  # somebody else's run can be looked at without being written to
                return


def _from_markers(status: StepStatus, tries: Tries, last: markers.Attempt) -> StepStatus | None:
    """A state that needs no scheduler, or None."""
    outcome, end = tries.outcome(last), tries.end(last)
    if outcome not in ("succeeded", "failed"):
        return None
    error = end.get("error")
    return replace(
        status,
        state=State.DONE if outcome == "succeeded" else State.FAILED,
        job=status.job or end.get("job_id"),
        elapsed_s=end.get("elapsed_s"),
        node=end.get("node") or end.get("host"),
        cause=_error_line(error) if outcome == "failed" else None,
        error=error if outcome == "failed" else None,
        attempt=tries.count,
    )


def _gone(status: StepStatus, tries: Tries, last: markers.Attempt | None) -> StepStatus:
    """The state of a job that neither squeue nor sacct knows."""
    if last is not None and tries.outcome(last) == "terminated":
        return replace(status, state=State.CANCELLED, cause="terminated by SIGTERM")
    cause = "the scheduler does not know the job any more, and it left no end marker"
    return replace(status, state=State.LOST, cause=cause)


def _from_view(
    status: StepStatus, view: JobView, tries: Tries, last: markers.Attempt | None
) -> StepStatus:
    state = _SLURM_STATES.get(view.state, State.RUNNING)
    queued, cause = not state.is_final, None
    if state is State.PENDING and view.reason and "Held" in view.reason:
        state, cause = State.HELD, view.reason
    if state is State.PENDING and view.reason == "DependencyNeverSatisfied":
        state, cause = State.BLOCKED, "a step before it did not succeed"
    if state in _FAILURES:
        cause = _failure_cause(state, view, last)
    return replace(
        status,
        state=state,
        elapsed_s=view.elapsed_s if state is not State.PENDING else None,
        node=view.node,
        cause=cause,
        queued=queued,
        attempt=max(tries.count, 1 if state is State.RUNNING else 0),
    )


def _failure_cause(state: State, view: JobView, last: markers.Attempt | None) -> str:
    if state is State.TIMEOUT:
        return "the wall time was used up"
    if state is State.OUT_OF_MEMORY:
        return "the memory was used up"
    if state is State.CANCELLED:
        return "cancelled while it ran" if last is not None else "cancelled before it ran"
    if last is None:
        return "the job ended before the step began: see its log (setup lines, worker)"
    return f"the job ended without a word from the step (Slurm says {view.state})"


def _error_line(error: Any) -> str:
    if not isinstance(error, dict):
        return "no reason given"
    lines = str(error.get("message", "")).strip().splitlines() or [""]
    return f"{error.get('type', 'Error')}: {lines[0]}".rstrip(": ")


def _with_causes(steps: dict[str, StepStatus], past: History) -> dict[str, StepStatus]:
    """Tell what is blocked by a failure from what failed itself, and name the first cause."""
    result: dict[str, StepStatus] = {}
    roots: dict[str, str] = {}
    for name, own in steps.items():  # a plan's order has parents before their children
        step = own
        blockers = [roots[p] for p in past.parents.get(name, ()) if p in roots]
        never_ran = step.attempt == 0 or step.state in (State.BLOCKED, State.NOT_SUBMITTED)
        waits = step.state in _NEVER_STARTED
        if blockers and never_ran and waits and not past.was_cancelled(name):
            first = dict.fromkeys(blockers)
            cause = f"blocked by {'; '.join(first)}"
            step = replace(step, state=State.BLOCKED, cause=cause, elapsed_s=None)
            roots[name] = next(iter(first))
        elif step.state.is_failure:
            roots[name] = f"{name}: {step.state}" + (f", {step.cause}" if step.cause else "")
        result[name] = step
    return result
