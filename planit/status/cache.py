"""``states.json``: what was found out about a run's steps, so that nobody asks twice.

It is a cache beside the journal and the markers: without it everything is found out again.
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
from planit.status.states import State, StepStatus

_IDENTITY = ("state", "job", "cluster", "attempt")
_FINDINGS = ("elapsed_s", "node", "cause", "error")
_KEPT = ("queued", "missing_since", "forgotten")
_ASKED_AGAIN = (State.LOST, State.NOT_SUBMITTED)


class CachedStates:
    """The states that an earlier status left."""

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
        """The last known state of a step's job, final or not."""
        cached = self._of(name, place)
        return State(cached["state"]) if cached else None

    def missing_since(self, name: str, place: Placement) -> float | None:
        """When the scheduler was first asked for a step's job in vain (seconds since 1970)."""
        since = self._of(name, place).get("missing_since")
        return float(since) if isinstance(since, int | float) else None

    def final(self, name: str, place: Placement, attempts: int) -> dict[str, Any] | None:
        """What is known for good of a step's job, unless it has started once more since.

        What failed can be requeued by hand as long as the scheduler remembers it.
        """
        cached = self._of(name, place)
        if not cached or attempts > cached.get("attempt", 0):
            return None
        state = State(cached["state"])
        if not state.is_final or state in _ASKED_AGAIN or cached.get("queued"):
            return None
        if state is not State.DONE and not cached.get("forgotten"):
            return None
        return {"state": state, **{key: cached[key] for key in _FINDINGS if key in cached}}

    def write(self, steps: Iterable[StepStatus], more: Mapping[str, Mapping[str, Any]]) -> None:
        """Keep what is known now, with `more` of each step by name.

        Somebody else's run can be looked at without being written to.
        """
        cached = {}
        for step in steps:
            if step.job is None:
                continue
            own = dict(more.get(step.name, {}))
            if step.stale:  # nothing new is known, but for how long
                old = self._steps.get(step.name, {})
                same = (old.get("job"), old.get("cluster")) == (step.job, step.cluster)
                cached[step.name] = {**(old if same else _of_step(step)), **own}
            else:
                cached[step.name] = {**_of_step(step), **own}
        if cached and cached != self._steps:
            with suppress(OSError, RunError), trust.opened(self._run_path) as trusted:
                write_json(trusted.proc / STATES, {"steps": cached})

    def _of(self, name: str, place: Placement) -> dict[str, Any]:
        cached = self._steps.get(name, {})
        same = (cached.get("job"), cached.get("cluster")) == (place.key, place.cluster)
        return cached if same else {}


def _of_step(step: StepStatus) -> dict[str, Any]:
    keys = (*_IDENTITY, *_FINDINGS, *(["queued"] if step.queued else []))
    return {key: value for key in keys if (value := getattr(step, key)) is not None}
