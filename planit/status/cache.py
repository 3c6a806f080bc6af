"""``states.json``: what was found about a run's steps, so that nothing is asked for twice.

It is a cache beside the journal and the markers: without it everything is found again. Once all
steps have ended for good it holds the whole answer, for as long as manifest, journal and the
folders of the stages stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from planit.errors import RunError
from planit.record import fields, trust
from planit.record.files import read_json, write_json
from planit.record.history import History, Leaf, Placement
from planit.record.markers import StepError
from planit.record.records import RunRecords
from planit.record.run_dir import STATES, RunDir
from planit.record.stage_dir import stage_dirs
from planit.status.evidence import Answer, Evidence
from planit.status.states import RunStatus, State, StepStatus

_IDENTITY = ("slug", "requested_s", "job", "cluster")
_KEPT = (*_IDENTITY, "state", "attempt", "elapsed_s", "node", "cause", "error")
_ASKED_AGAIN = (State.LOST, State.NOT_SUBMITTED)
_SETTLED_S = 2.0  # a folder that changed since may change again without a newer time


class CachedStates:
    """The states that an earlier status found."""

    def __init__(self, run: RunDir) -> None:
        self._run = run
        self._stamp = run.stamp()  # before anything else is read
        content = read_json(run.path / STATES)
        steps = fields.mapping(content, "steps")
        names = list(State)
        self._stages = fields.mapping(content, "stages")
        self._whole = fields.mapping(content, "whole")
        self._steps: dict[str, dict[str, Any]] = {
            name: cached
            for name, cached in steps.items()
            if isinstance(cached, dict) and cached.get("state") in names and "slug" in cached
        }
        self._changed: dict[tuple[tuple[int, int], ...], bool] = {}

    def whole(self) -> RunStatus | None:
        """The status of a run whose steps have all ended for good, if nothing has changed since."""
        if self._stamp is None or self._whole.get("stamp") != self._stamp:
            return None
        if self._whole.get("count") != len(self._steps):  # one cannot be read
            return None
        stages = stage_dirs(self._run.path)
        if {_key((one.submission, one.number)): one.changed_ns() for one in stages} != self._stages:
            return None
        steps = tuple(_step(name, cached) for name, cached in self._steps.items())
        return RunStatus(str(self._whole.get("plan")), self._run.run_id, steps)

    def last(self, name: str, place: Placement) -> State | None:
        """The last state of a step's job, final or not."""
        cached = self._of(name, place)
        return State(cached["state"]) if cached else None

    def missing_since(self, name: str, place: Placement) -> float | None:
        """When queue and accounting first left a step's job out (seconds since 1970)."""
        return fields.number(self._of(name, place), "missing_since")

    def ended(self, leaf: Leaf, history: History, records: RunRecords) -> StepStatus | None:
        """How a step's job ended for good, unless the step has started once more since.

        What failed can be requeued by hand as long as the queue has it.
        """
        name, place = leaf.name, history.placements.get(leaf.name)
        cached = self._of(name, place) if place is not None else {}
        state = State(cached["state"]) if cached else State.PENDING
        if not state.is_final or state in _ASKED_AGAIN or "queued" in cached:
            return None
        if state is not State.DONE and not cached.get("forgotten"):
            return None
        if self._has_changed(name, records) and records.count(name) != cached.get("records", 0):
            return None
        return _step(name, cached)

    def started(self, name: str) -> bool:
        """Whether the job of a step that has ended had begun to run."""
        return bool(self._steps[name].get("started"))

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
        status: RunStatus,
        evidence: Mapping[str, Evidence],
        records: RunRecords,
        at: float,
    ) -> None:
        """Keep what was found at a time (seconds since 1970) for the next status.

        Steps without evidence are kept as they were. A run that is another user's is not written
        to.
        """
        settled_ns = (at - _SETTLED_S) * 10**9
        stamps = {_key(stage): at for stage, at in records.stamps().items() if at < settled_ns}
        is_whole = not evidence and self._says(status)
        count = len(status.steps)
        whole = {"plan": status.plan, "count": count, "stamp": self._stamp} if is_whole else {}
        if (stamps, whole) == (self._stages, self._whole) and not evidence:
            return
        cached = {
            step.name: self._entry(step, evidence[step.name], records, at)
            if step.name in evidence
            else self._steps[step.name]
            for step in status.steps
            if step.job is not None
        }
        if cached and (cached, stamps, whole) != (self._steps, self._stages, self._whole):
            content = {"steps": cached, "stages": stamps, "whole": whole}
            with suppress(OSError, RunError), trust.opened(self._run.path) as trusted:
                write_json(trusted.proc / STATES, content)

    def _says(self, status: RunStatus) -> bool:
        """Whether what is cached of the steps is all that the status says."""
        if not status.is_final or status.incomplete or status.problems:
            return False
        return all(_step(one.name, self._steps[one.name]) == one for one in status.steps)

    def _entry(
        self, step: StepStatus, evidence: Evidence, records: RunRecords, at: float
    ) -> dict[str, Any]:
        entry = {key: value for key in _KEPT if (value := getattr(step, key)) is not None}
        if step.queued:
            entry["queued"] = True
        if evidence.started:
            entry["started"] = True
        if count := records.count(step.name):
            entry["records"] = count
        if step.stale:  # nothing new was found, but for how long
            entry = dict(self._same(step.name, step.job, step.cluster)) or entry
        if evidence.is_forgotten:
            entry["forgotten"] = True
        if evidence.answer is Answer.UNKNOWN:
            entry["missing_since"] = round(at - evidence.missing_s, 3)
        return entry

    def _of(self, name: str, place: Placement) -> dict[str, Any]:
        return self._same(name, place.key, place.cluster) if name in self._steps else {}

    def _same(self, name: str, job: str | None, cluster: str | None) -> dict[str, Any]:
        """What is cached of a step if that is about the same job; not to be changed."""
        cached = self._steps.get(name, {})
        same = (cached.get("job"), cached.get("cluster")) == (job, cluster)
        return cached if same else {}


def _step(name: str, cached: Mapping[str, Any]) -> StepStatus:
    error = StepError.from_json(cached.get("error"))
    return StepStatus(
        name,
        fields.text(cached, "slug") or "",
        State(cached["state"]),
        job=fields.text(cached, "job"),
        cluster=fields.text(cached, "cluster"),
        attempt=fields.whole(cached, "attempt") or 0,
        elapsed_s=fields.number(cached, "elapsed_s"),
        requested_s=fields.number(cached, "requested_s") or 0.0,
        node=fields.text(cached, "node"),
        cause=fields.text(cached, "cause"),
        error=None if error is None else error.as_json(),
    )


def _key(stage: tuple[int, int]) -> str:
    return f"{stage[0]}.{stage[1]}"
