"""Collects the evidence of a run's steps and derives their states.

However many steps a run has, each cluster is asked at most once per tool, and what is final is
not asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planit.backends.base import Client
from planit.errors import SchedulerError
from planit.nodes import walltime
from planit.record import history as histories
from planit.record import lock, log_files, markers
from planit.record.history import History, Leaf, Placement
from planit.record.jobs import JobView
from planit.record.markers import Attempt, Outcome, Tries
from planit.record.run_dir import RunDir
from planit.status.cache import CachedStates
from planit.status.causes import with_causes
from planit.status.decide import LOST_AFTER_S, Verdict, decide
from planit.status.evidence import Answer, Evidence
from planit.status.states import RunStatus, State, StepStatus, printable


def run_status(
    run: RunDir, client: Client, *, history: History | None = None, ask_all: bool = False
) -> RunStatus:
    """The state of every step now.

    Args:
        run: the run.
        client: who is asked for jobs.
        history: the run's history, if that was read already.
        ask_all: ask the queue for every step, also those whose end is known: they may have been
            requeued by hand.
    """
    return _Collector(run, client, history or histories.read(run), ask_all).status()


class _Collector:
    def __init__(self, run: RunDir, client: Client, history: History, ask_all: bool) -> None:
        self.run = run
        self.client = client
        self.history = history
        self.ask_all = ask_all
        self.now = time.time()
        self.problems = list(history.problems)
        self.queued: dict[str | None, dict[str, JobView]] = {}
        self.accounted: dict[str | None, dict[str, JobView]] = {}
        self.no_answer: set[str | None] = set()
        self.cache = CachedStates(run)
        self.notes: dict[str, dict[str, Any]] = {}  # what the cache keeps of a step besides

    def status(self) -> RunStatus:
        leaves = self.history.leaves
        tries = {leaf.name: markers.read(self.run.step_dir(leaf.slug)) for leaf in leaves}
        for one in tries.values():
            self.problems += one.problems
        self._ask(tries)
        self._note_strays()
        steps = {leaf.name: self._step(leaf, tries[leaf.name]) for leaf in leaves}
        started = {name for name, one in tries.items() if self._has_started(name, one)}
        steps = with_causes(steps, self.history, started)
        self.cache.write(steps.values(), self.notes)
        self._note_missing(steps)
        submitting = lock.owner_of(self.run.path) if self.history.incomplete else None
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

        Unless jobs of it are still held: Slurm releases many jobs one after another.
        """
        if not self.history.incomplete:
            return False
        held = any(step.state is State.HELD for step in steps.values())
        return held or not markers.any_of(tries.values(), self.history.last_submission)

    def _newest(self, name: str, tries: Tries) -> Attempt | None:
        """The last attempt at a step, if it belongs to the newest submission of it."""
        place, last = self.history.placements.get(name), tries.last
        return last if place and last and last.submission == place.submission else None

    def _has_started(self, name: str, tries: Tries) -> bool:
        newest = self._newest(name, tries)
        return newest is not None and any(
            attempt.submission == newest.submission for attempt in tries.starts
        )

    def _ask(self, tries: Mapping[str, Tries]) -> None:
        """One squeue per cluster with open steps, and one sacct for what squeue does not know."""
        wanted: dict[str | None, set[str]] = {}
        for name, place in self.history.placements.items():
            if place.key is not None and not self._is_settled(name, place, tries[name]):
                wanted.setdefault(place.cluster, set()).add(place.key)
        for cluster, keys in wanted.items():
            try:
                self.queued[cluster] = self.client.queue(cluster)
            except SchedulerError as error:
                self.no_answer.add(cluster)
                self.problems.append(error.message)
                continue
            missing = {k for k in keys if k not in self.queued[cluster]}
            if not missing:
                continue
            try:
                self.accounted[cluster] = self.client.accounting(cluster, missing)
            except SchedulerError as error:
                self.problems.append(f"{error.message} (states from markers and squeue only)")

    def _is_settled(self, name: str, place: Placement, tries: Tries) -> bool:
        if place.submission in self.history.aborted:
            return True
        if self.ask_all:
            return False
        if self.cache.final(name, place, tries.count) is not None:
            return True
        last = self._newest(name, tries)
        end = tries.ends.get(last) if last is not None else None
        return end is not None and end.outcome is Outcome.SUCCEEDED

    def _note_strays(self) -> None:
        """Jobs of the run in the queue that its record does not name; they refuse to run."""
        record = {(job.cluster, job.job_id) for job in self.history.jobs.values()}
        strays = {
            view.key.partition("_")[0]
            for cluster, views in self.queued.items()
            for view in views.values()
            if self.run.tag_prefix() in (view.comment or "")
            and view.is_live
            and (cluster, view.key.partition("_")[0]) not in record
        }
        if strays and lock.owner_of(self.run.path) is None:
            self.problems.append(
                f"job(s) {', '.join(sorted(strays))} in the queue are not in the run's record:"
                " they do nothing, and planit cancel or resume clears them"
            )

    def _note_missing(self, steps: Mapping[str, StepStatus]) -> None:
        missing = [
            name
            for name, note in self.notes.items()
            if "missing_since" in note and steps[name].stale
        ]
        if missing:
            first = steps[missing[0]]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            self.problems.append(
                f"Slurm does not show job {first.job} ({first.name}){more}: lost if it still does"
                f" not after {LOST_AFTER_S:g} s"
            )

    def _step(self, leaf: Leaf, tries: Tries) -> StepStatus:
        place = self.history.placements.get(leaf.name)
        status = StepStatus(leaf.name, leaf.slug, State.NOT_SUBMITTED, attempt=tries.count)
        if place is None:
            return replace(status, requested_s=walltime.parse(leaf.time).total_seconds())
        requested = walltime.parse(place.options["time"]).total_seconds()
        status = replace(status, job=place.key, cluster=place.cluster, requested_s=requested)
        cached = None if self.ask_all else self.cache.final(leaf.name, place, tries.count)
        if cached is not None:
            self.notes[leaf.name] = {"forgotten": True}
            return replace(status, **cached)
        evidence = self._evidence(leaf, place, tries)
        return _apply(status, decide(evidence), evidence)

    def _evidence(self, leaf: Leaf, place: Placement, tries: Tries) -> Evidence:
        name = leaf.name
        answer, view = self._answer(place)
        last = self._newest(name, tries)
        waits = view is not None and view.state == "PENDING"
        if not waits and (last is None or last not in tries.ends):
            tries = markers.read(
                self.run.step_dir(leaf.slug)
            )  # may have ended since the first time
            last = self._newest(name, tries)
        evidence = Evidence(
            aborted=self._aborted(place),
            has_job=place.key is not None,
            cancelled=self.history.was_cancelled(name),
            started=self._has_started(name, tries),
            end=tries.ends.get(last) if last is not None else None,
            answer=answer,
            view=view,
            missing_s=self._missing_s(name, place) if answer is Answer.UNKNOWN else 0.0,
            last=self.cache.last(name, place),
        )
        if answer not in (Answer.NOT_ASKED, Answer.NO_ANSWER, Answer.QUEUED):
            self.notes.setdefault(name, {})["forgotten"] = True
        if evidence.started and not evidence.is_live and evidence.outcome is not Outcome.SUCCEEDED:
            complaint = log_files.has_memory_complaint(self.run, self.history, leaf)
            evidence = replace(evidence, memory_complaint=complaint)
        return evidence

    def _aborted(self, place: Placement) -> str | None:
        reason = self.history.aborted.get(place.submission)
        return None if reason is None else printable(reason)

    def _answer(self, place: Placement) -> tuple[Answer, JobView | None]:
        if place.key is None or place.submission in self.history.aborted:
            return Answer.NOT_ASKED, None
        if place.cluster in self.no_answer:
            return Answer.NO_ANSWER, None
        if place.cluster not in self.queued:
            return Answer.NOT_ASKED, None
        if view := self.queued[place.cluster].get(place.key):
            return Answer.QUEUED, view
        if view := self.accounted.get(place.cluster, {}).get(place.key):
            return Answer.ACCOUNTED, view
        return Answer.UNKNOWN, None

    def _missing_s(self, name: str, place: Placement) -> float:
        since = self.cache.missing_since(name, place)
        since = self.now if since is None else min(since, self.now)
        self.notes.setdefault(name, {})["missing_since"] = since
        return self.now - since


def _apply(status: StepStatus, decision: Verdict, e: Evidence) -> StepStatus:
    """The status of a step, with the times and the node of whoever decided."""
    status = replace(
        status,
        state=decision.state,
        cause=decision.cause,
        stale=decision.stale,
        queued=decision.queued,
        ending=e.is_ending,
    )
    if decision.state is State.NOT_SUBMITTED or e.aborted is not None:
        return replace(status, job=None if e.aborted is not None else status.job)
    if decision.by_marker and e.end is not None:
        error = e.end.error if decision.state is not State.DONE else None
        return replace(
            status,
            job=status.job or e.end.job.job_id,
            elapsed_s=e.end.elapsed_s,
            node=e.end.job.node or e.end.job.host,
            error=None if error is None else error.as_json(),
        )
    if e.view is None or decision.stale:
        return status
    runs = decision.state is State.RUNNING
    return replace(
        status,
        elapsed_s=None if decision.state is State.PENDING else e.view.elapsed_s,
        node=e.view.node,
        attempt=max(status.attempt, 1 if runs else 0),
    )
