"""The states of a run: from evidence through the table of states to what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from planit.backends.base import Client
from planit.record import history as histories
from planit.record import lock
from planit.record.bulk import uncollected
from planit.record.history import History, Leaf
from planit.record.run_dir import RunDir
from planit.status.cache import CachedStates
from planit.status.causes import with_causes
from planit.status.collect import collect
from planit.status.decide import LOST_AFTER_S, Verdict, decide
from planit.status.evidence import Answer, Evidence
from planit.status.retry_text import retry_text
from planit.status.states import RunStatus, State, StepStatus


@uncollected()
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

    Raises:
        RunError: the folder is not a run directory.
    """
    cache = CachedStates(run)
    if history is None and not ask_all and (whole := cache.whole()) is not None:
        return whole
    history = history or histories.read(run)
    collected = collect(run, client, history, cache, ask_all=ask_all)
    evidence, ended = collected.evidence, collected.ended
    own = {
        leaf.name: ended.get(leaf.name) or step_status(leaf, history, evidence[leaf.name])
        for leaf in history.leaves
    }
    steps = with_causes(own, history, collected.started)
    submitting = lock.owner_of(run.path) if history.incomplete else None
    # A submission of which something runs was released, even if nobody could write that down;
    # unless jobs of it are still held: Slurm releases many jobs one after another.
    held = any(step.state is State.HELD for step in steps.values())
    stopped = history.incomplete and submitting is None
    has_run = stopped and collected.records.any_of(history.last_submission)
    status = RunStatus(
        plan=str(run.manifest.get("plan")),
        run_id=run.run_id,
        steps=tuple(steps.values()),
        incomplete=stopped and (held or not has_run),
        submitting=submitting,
        stale=any(step.stale for step in steps.values()),
        problems=(*collected.problems, *_missing(steps, evidence)),
    )
    cache.write(status, evidence, collected.records, collected.at)
    return status


def step_status(leaf: Leaf, history: History, e: Evidence) -> StepStatus:
    """The state of a step by the table, with the times and the node of whoever decided."""
    verdict, place = decide(e), history.placements.get(leaf.name)
    elapsed_s, node, error = _ending(e, verdict)
    runs = verdict.state is State.RUNNING and e.view is not None and not verdict.stale
    return StepStatus(
        leaf.name,
        leaf.slug,
        verdict.state,
        job=None if place is None or e.aborted is not None else place.key,
        cluster=None if place is None else place.cluster,
        attempt=max(e.starts, 1 if runs else 0),
        elapsed_s=elapsed_s,
        requested_s=history.requested_s(leaf),
        node=node,
        cause=verdict.cause,
        stale=verdict.stale,
        queued=verdict.queued,
        never=verdict.never,
        ending=e.is_ending,
        error=error,
        retry=None if e.retry is None or verdict.state.is_final else retry_text(e.retry),
    )


def _ending(
    e: Evidence, verdict: Verdict
) -> tuple[float | None, str | None, Mapping[str, Any] | None]:
    """Seconds that it ran, where, and its error."""
    if verdict.by_marker and e.end is not None:
        error = None if verdict.state is State.DONE else e.end.error
        job = e.end.job
        return e.end.elapsed_s, job.node or job.host, None if error is None else error.as_json()
    if e.view is None or verdict.stale:
        return None, None, None
    waits = verdict.state is State.PENDING
    return None if waits else e.view.elapsed_s, e.view.node, None


def _missing(steps: Mapping[str, StepStatus], evidence: Mapping[str, Evidence]) -> list[str]:
    """A line about jobs that neither queue nor accounting show, for a while."""
    missing = [
        steps[name]
        for name, e in evidence.items()
        if e.answer is Answer.UNKNOWN and steps[name].stale
    ]
    if not missing:
        return []
    first = missing[0]
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    when = f"lost if it still does not after {LOST_AFTER_S:g} s"
    return [f"Slurm does not show job {first.job} ({first.name}){more}: {when}"]
