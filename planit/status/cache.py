"""``states.json``: what was found out about a run's steps, so that nobody asks twice.

It is a cache beside the journal and the markers: without it everything is found out again.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from planit.errors import RunError
from planit.record import trust
from planit.record.files import read_json, write_json
from planit.record.history import Placement
from planit.record.rundir import RunDir
from planit.status.states import State, StepStatus

_NAME = "states.json"
_IDENTITY = ("state", "job", "cluster", "attempt")
_FINDINGS = ("elapsed_s", "node", "cause", "error", "queued")
_ASKED_AGAIN = (State.LOST, State.NOT_SUBMITTED)


class KnownStates:
    """The states that an earlier look left."""

    def __init__(self, run: RunDir) -> None:
        self._run_path = run.path
        content = read_json(run.path / _NAME)
        steps = content.get("steps") if isinstance(content, dict) else None
        names = set(State)
        self._steps: dict[str, dict[str, Any]] = {
            name: known
            for name, known in (steps.items() if isinstance(steps, dict) else ())
            if isinstance(known, dict) and known.get("state") in names
        }

    def last(self, name: str, job: str | None) -> State | None:
        """The last known state of a step's job, final or not."""
        known = self._steps.get(name, {})
        return State(known["state"]) if known.get("job") == job and known else None

    def final(self, name: str, place: Placement, attempts: int) -> dict[str, Any] | None:
        """What is known for good of a step's job, unless it has started once more since."""
        known = self._steps.get(name, {})
        if not known or (known.get("job"), known.get("cluster")) != (place.key, place.cluster):
            return None
        state = State(known["state"])
        if not state.is_final or state in _ASKED_AGAIN or known.get("queued"):
            return None
        if attempts > known.get("attempt", 0):
            return None
        return {"state": state, **{key: known[key] for key in _FINDINGS if key in known}}

    def write(self, steps: Iterable[StepStatus]) -> None:
        """Keep what is known now; somebody else's run can be looked at without being written to."""
        known = {
            step.name: {
                key: value
                for key in (*_IDENTITY, *_FINDINGS)
                if (value := getattr(step, key)) is not None
            }
            for step in steps
            if step.job is not None and not step.stale
        }
        if known and known != self._steps:
            with suppress(OSError, RunError), trust.opened(self._run_path) as trusted:
                write_json(trusted.proc / _NAME, {"steps": known})
