"""``states.json``: what was found about a run's steps, so that nothing is asked for twice.

It is a cache beside the journal and the markers: without it everything is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from planit.errors import RunError
from planit.record import trust
from planit.record.files import read_json, write_json
from planit.record.history import Placement
from planit.record.run_dir import STATES, RunDir
from planit.status.evidence import Answer, Ended, Evidence
from planit.status.states import State, StepStatus

_IDENTITY = ("state", "job", "cluster", "attempt")
_FINDINGS = ("elapsed_s", "node", "cause", "error")
_ASKED_AGAIN = (State.LOST, State.NOT_SUBMITTED)


class CachedStates:
    """The states that an earlier status found."""

    def __init__(self, run: RunDir) -> None:
        self._run_path = run.path
        content = read_json(run.path / STATES)
        steps = content.get("steps") if isinstance(content, dict) else None
        names = set(State)
        self._steps: dict[str, dict[str, Any]] = {
            name: cached
            for name, cached in (steps.items() if isinstance(steps, dict) else ())
            if isinstance(cached, dict) and cached.get("state") in names
        }

    def last(self, name: str, place: Placement) -> State | None:
        """The last state of a step's job, final or not."""
        cached = self._of(name, place)
        return State(cached["state"]) if cached else None

    def missing_since(self, name: str, place: Placement) -> float | None:
        """When queue and accounting first left a step's job out (seconds since 1970)."""
        since = self._of(name, place).get("missing_since")
        return float(since) if isinstance(since, int | float) else None

    def ended(self, name: str, place: Placement, starts: int) -> Ended | None:
        """How a step's job ended for good, unless the step has started once more since.

        What failed can be requeued by hand as long as the queue has it.
        """
        cached = self._of(name, place)
        if not cached or starts > cached.get("attempt", 0):
            return None
        state = State(cached["state"])
        if not state.is_final or state in _ASKED_AGAIN or cached.get("queued"):
            return None
        if state is not State.DONE and not cached.get("forgotten"):
            return None
        return Ended(state, **{key: cached.get(key) for key in _FINDINGS})

    def write(
        self, steps: Iterable[StepStatus], evidence: Mapping[str, Evidence], at: float
    ) -> None:
        """Keep what was found at a time (seconds since 1970) for the next status.

        A run that is another user's is not written to.
        """
        cached = {
            step.name: self._entry(step, evidence[step.name], at)
            for step in steps
            if step.job is not None
        }
        if cached and cached != self._steps:
            with suppress(OSError, RunError), trust.opened(self._run_path) as trusted:
                write_json(trusted.proc / STATES, {"steps": cached})

    def _entry(self, step: StepStatus, evidence: Evidence, at: float) -> dict[str, Any]:
        keys = (*_IDENTITY, *_FINDINGS, *(["queued"] if step.queued else []))
        entry = {key: value for key in keys if (value := getattr(step, key)) is not None}
        if step.stale:  # nothing new was found, but for how long
            entry = self._same(step.name, step.job, step.cluster) or entry
        if evidence.is_forgotten:
            entry["forgotten"] = True
        if evidence.answer is Answer.UNKNOWN:
            entry["missing_since"] = round(at - evidence.missing_s, 3)
        return entry

    def _of(self, name: str, place: Placement) -> dict[str, Any]:
        return self._same(name, place.key, place.cluster)

    def _same(self, name: str, job: str | None, cluster: str | None) -> dict[str, Any]:
        """A copy of what is cached of a step if that is about the same job."""
        cached = self._steps.get(name, {})
        same = (cached.get("job"), cached.get("cluster")) == (job, cluster)
        return dict(cached) if same else {}
