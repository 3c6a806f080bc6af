"""``states.json``: what was found about a run's steps, so that nothing is asked for twice.

It is a cache beside the journal and the markers: without it everything is found again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from planit.errors import RunError
from planit.record import fields, trust
from planit.record.files import read_json, write_json
from planit.record.history import Placement
from planit.record.markers import StepError
from planit.record.records import RunRecords
from planit.record.run_dir import STATES, RunDir
from planit.status.evidence import Answer, Ended, Evidence
from planit.status.states import State, StepStatus

_IDENTITY = ("state", "job", "cluster", "attempt")
_FINDINGS = ("elapsed_s", "node", "cause", "error")
_ASKED_AGAIN = (State.LOST, State.NOT_SUBMITTED)
_SETTLED_S = 2.0  # a folder that changed since may change again without a newer time


class CachedStates:
    """The states that an earlier status found."""

    def __init__(self, run: RunDir) -> None:
        self._run_path = run.path
        content = read_json(run.path / STATES)
        steps = fields.mapping(content, "steps")
        names = list(State)
        self._stages = fields.mapping(content, "stages")
        self._steps: dict[str, dict[str, Any]] = {
            name: cached
            for name, cached in steps.items()
            if isinstance(cached, dict) and cached.get("state") in names
        }
        self._changed: dict[tuple[tuple[int, int], ...], bool] = {}

    def last(self, name: str, place: Placement) -> State | None:
        """The last state of a step's job, final or not."""
        cached = self._of(name, place)
        return State(cached["state"]) if cached else None

    def missing_since(self, name: str, place: Placement) -> float | None:
        """When queue and accounting first left a step's job out (seconds since 1970)."""
        return fields.number(self._of(name, place), "missing_since")

    def ended(self, name: str, place: Placement, records: RunRecords) -> Ended | None:
        """How a step's job ended for good, unless the step has started once more since.

        What failed can be requeued by hand as long as the queue has it.
        """
        cached = self._of(name, place)
        state = State(cached["state"]) if cached else State.PENDING
        if not state.is_final or state in _ASKED_AGAIN or cached.get("queued"):
            return None
        if state is not State.DONE and not cached.get("forgotten"):
            return None
        if self._has_changed(name, records) and records.count(name) != cached.get("records", 0):
            return None
        error = StepError.from_json(cached.get("error"))
        return Ended(
            state,
            starts=fields.whole(cached, "attempt") or 0,
            started=bool(cached.get("started")),
            elapsed_s=fields.number(cached, "elapsed_s"),
            node=fields.text(cached, "node"),
            cause=fields.text(cached, "cause"),
            error=None if error is None else error.as_json(),
        )

    def _has_changed(self, name: str, records: RunRecords) -> bool:
        """Whether something was added to where the step's records are since they were listed."""
        stages = tuple(records.stages(name))
        if stages not in self._changed:  # the same for all tasks of an array
            self._changed[stages] = any(
                self._stages.get(_key(one)) != records.stamp(one) for one in stages
            )
        return self._changed[stages]

    def write(
        self,
        steps: Iterable[StepStatus],
        evidence: Mapping[str, Evidence],
        records: RunRecords,
        at: float,
    ) -> None:
        """Keep what was found at a time (seconds since 1970) for the next status.

        A run that is another user's is not written to.
        """
        settled_ns = (at - _SETTLED_S) * 10**9
        stamps = {_key(stage): at for stage, at in records.stamps().items() if at < settled_ns}
        if stamps == self._stages and all(one.cached is not None for one in evidence.values()):
            return
        cached = {
            step.name: self._entry(step, evidence[step.name], records, at)
            for step in steps
            if step.job is not None
        }
        if cached and (cached, stamps) != (self._steps, self._stages):
            with suppress(OSError, RunError), trust.opened(self._run_path) as trusted:
                write_json(trusted.proc / STATES, {"steps": cached, "stages": stamps})

    def _entry(
        self, step: StepStatus, evidence: Evidence, records: RunRecords, at: float
    ) -> dict[str, Any]:
        before = self._steps.get(step.name)
        if evidence.cached is not None and before is not None:
            return before
        keys = (*_IDENTITY, *_FINDINGS, *(["queued"] if step.queued else []))
        entry = {key: value for key in keys if (value := getattr(step, key)) is not None}
        left = {"records": records.count(step.name), "started": evidence.started}
        entry |= {key: value for key, value in left.items() if value}
        if step.stale:  # nothing new was found, but for how long
            entry = dict(self._same(step.name, step.job, step.cluster)) or entry
        if evidence.is_forgotten:
            entry["forgotten"] = True
        if evidence.answer is Answer.UNKNOWN:
            entry["missing_since"] = round(at - evidence.missing_s, 3)
        return entry

    def _of(self, name: str, place: Placement) -> dict[str, Any]:
        return self._same(name, place.key, place.cluster)

    def _same(self, name: str, job: str | None, cluster: str | None) -> dict[str, Any]:
        """What is cached of a step if that is about the same job; not to be changed."""
        cached = self._steps.get(name, {})
        same = (cached.get("job"), cached.get("cluster")) == (job, cluster)
        return cached if same else {}


def _key(stage: tuple[int, int]) -> str:
    return f"{stage[0]}.{stage[1]}"
