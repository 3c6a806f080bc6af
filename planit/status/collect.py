"""Collects the evidence about a run's steps: markers, queue, accounting, an earlier status.

However many steps a run has, each cluster is asked at most once per tool, and what is final is
not asked for again.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

from planit.backends.base import Client
from planit.errors import SchedulerError
from planit.record import lock, log_files
from planit.record.history import History, Leaf, Placement
from planit.record.jobs import JobView
from planit.record.markers import EndMarker, Outcome, Tries
from planit.record.records import RunRecords
from planit.record.run_dir import RunDir
from planit.status.cache import CachedStates
from planit.status.evidence import Answer, Evidence
from planit.status.packed_steps import in_packed_job
from planit.status.states import StepStatus, printable

_Wanted = Mapping[str | None, set[str]]
_Newest = tuple[bool, EndMarker | None]


@dataclass(frozen=True)
class Collected:
    """The evidence about a run.

    Attributes:
        evidence: about each step that has not ended for good, by name.
        ended: the others, as an earlier status found them.
        started: the steps whose newest job began to run.
        at: when it was collected, in seconds since 1970.
        records: what the steps left.
        problems: what could not be read or asked, a line each.
    """

    evidence: Mapping[str, Evidence]
    ended: Mapping[str, StepStatus]
    started: Collection[str]
    at: float
    records: RunRecords
    problems: tuple[str, ...]


def collect(
    run: RunDir, client: Client, history: History, cache: CachedStates, *, ask_all: bool = False
) -> Collected:
    """Everything that the states of the steps follow from; the arguments are `run_status`'s."""
    at = time.time()
    records = RunRecords(run, history)
    ended = {
        leaf.name: step
        for leaf in history.leaves
        if not ask_all and (step := cache.ended(leaf, history, records)) is not None
    }
    others = [leaf for leaf in history.leaves if leaf.name not in ended]
    tries = {leaf.name: records.tries(leaf.name) for leaf in others}
    newest = {name: _newest(history.placements.get(name), own) for name, own in tries.items()}
    answers = _ask(client, _wanted(history, newest, ask_all=ask_all))
    problems = [*history.problems, *(line for one in tries.values() for line in one.problems)]
    problems += [*answers.problems, *_strays(run, history, answers)]
    evidence = {
        leaf.name: _evidence(
            run, history, leaf, tries[leaf.name], newest[leaf.name], answers, cache, records, at
        )
        for leaf in others
    }
    started = {name for name in ended if cache.started(name)}
    started |= {name for name, one in evidence.items() if one.started}
    return Collected(evidence, ended, started, at, records, tuple(problems))


def _wanted(history: History, newest: Mapping[str, _Newest], *, ask_all: bool) -> _Wanted:
    """The jobs that the scheduler is asked for, by cluster."""
    wanted: dict[str | None, set[str]] = {}
    for name, (_, end) in newest.items():
        if not ask_all and end is not None and end.outcome is Outcome.SUCCEEDED:
            continue
        place = history.placements.get(name)
        if place is not None and place.key is not None and place.submission not in history.aborted:
            wanted.setdefault(place.cluster, set()).add(place.key)
    return wanted


@dataclass(frozen=True)
class _Answers:
    """What the clusters answered: jobs by cluster and key."""

    queued: dict[str | None, Mapping[str, JobView]] = field(default_factory=dict)
    accounted: dict[str | None, Mapping[str, JobView]] = field(default_factory=dict)
    no_answer: set[str | None] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def about(self, place: Placement) -> tuple[Answer, JobView | None]:
        """What was answered about a job, and the job as it was shown."""
        cluster, key = place.cluster, str(place.key)
        if cluster in self.no_answer:
            return Answer.NO_ANSWER, None
        if cluster not in self.queued:
            return Answer.NOT_ASKED, None
        if view := self.queued[cluster].get(key):
            return Answer.QUEUED, view
        if view := self.accounted.get(cluster, {}).get(key):
            return Answer.ACCOUNTED, view
        return Answer.UNKNOWN, None


def _ask(client: Client, wanted: _Wanted) -> _Answers:
    """One squeue per cluster, and one sacct for what squeue does not show."""
    answers = _Answers()
    for cluster, keys in wanted.items():
        try:
            queue = answers.queued[cluster] = client.queue(cluster)
        except SchedulerError as error:
            answers.no_answer.add(cluster)
            answers.problems.append(error.message)
            continue
        missing = keys - queue.keys()
        if not missing:
            continue
        try:
            answers.accounted[cluster] = client.accounting(cluster, missing)
        except SchedulerError as error:
            answers.problems.append(f"{error.message} (states from markers and squeue only)")
    return answers


def _strays(run: RunDir, history: History, answers: _Answers) -> list[str]:
    """A line about jobs of the run in the queue that its record does not name."""
    record = {(job.cluster, job.job_id) for job in history.jobs.values()}
    strays = {
        view.key.partition("_")[0]
        for cluster, views in answers.queued.items()
        for view in views.values()
        if run.tag_prefix() in (view.comment or "")
        and view.is_live
        and (cluster, view.key.partition("_")[0]) not in record
    }
    if not strays or lock.owner_of(run.path) is not None:
        return []
    listed = ", ".join(sorted(strays))
    does = "they do nothing, and planit cancel or resume clears them"
    return [f"job(s) {listed} in the queue are not in the run's record: {does}"]


def _evidence(
    run: RunDir,
    history: History,
    leaf: Leaf,
    tries: Tries,
    newest: _Newest,
    answers: _Answers,
    cache: CachedStates,
    records: RunRecords,
    at: float,
) -> Evidence:
    """The evidence about a step that may not have ended for good."""
    place = history.placements.get(leaf.name)
    if place is None:
        return Evidence(submitted=False, starts=tries.count)
    aborted = history.aborted.get(place.submission)
    answer, view = Answer.NOT_ASKED, None
    if aborted is None and place.job is not None:
        answer, view = answers.about(place)
    started, end = newest
    waits = view is not None and view.state == "PENDING"  # a packed step's job, so far
    if not waits and end is None:  # it may have ended since the markers were read
        tries = records.again(leaf.name, tries)
        started, end = _newest(place, tries)
    if place.packed is not None and view is not None:
        stage = run.stage_dir(place.submission, place.stage)
        log = stage.packed_log(None if place.index is None else str(place.index))
        view = in_packed_job(
            view, tries, started=started, end=end, at=at, log=str(log.relative_to(run.path))
        )
    since = cache.missing_since(leaf.name, place) if answer is Answer.UNKNOWN else None
    found = Evidence(
        starts=tries.count,
        started=started,
        end=end,
        aborted=None if aborted is None else printable(aborted),
        has_job=place.job is not None,
        is_first=not history.parents.get(leaf.name),
        cancelled=history.was_cancelled(leaf.name),
        answer=answer,
        view=view,
        missing_s=0.0 if since is None else max(0.0, at - since),
        last=cache.last(leaf.name, place),
    )
    if not found.started or found.is_live or found.outcome is Outcome.SUCCEEDED:
        return found
    return replace(found, memory_complaint=log_files.has_memory_complaint(run, history, leaf))


def _newest(place: Placement | None, tries: Tries) -> _Newest:
    """Whether a step's newest job has started, and how its last attempt ended, by the markers."""
    last = tries.last
    if place is None or last is None or last.submission != place.submission:
        return False, None
    started = any(attempt.submission == place.submission for attempt in tries.starts)
    return started, tries.ends.get(last)
