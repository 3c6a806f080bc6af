"""Evidence as plain data, and back: what a row of the table of states looks like in a file."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from planit.record.jobs import JobView
from planit.record.markers import EndMarker
from planit.status.decide import Verdict
from planit.status.evidence import Answer, Evidence
from planit.status.states import State

Row = dict[str, Any]
_VIEW = ("state", "reason", "started", "cause")  # what decides something
_END, _ERROR = ("outcome", "exit_code", "error"), ("type", "message")


def as_row(evidence: Evidence, verdict: Verdict) -> Row:
    """The evidence, without what is as it is by default, and what was decided."""
    return {
        "state": verdict.state.value,
        "cause": verdict.cause,
        "stale": verdict.stale,
        "by_marker": verdict.by_marker,
        "queued": verdict.queued,
        "evidence": {
            one.name: _plain(one.name, value)
            for one in fields(evidence)
            if (value := getattr(evidence, one.name)) != getattr(Evidence(), one.name)
        },
    }


def _plain(name: str, value: Any) -> Any:
    if name == "answer":
        return value.name
    if name == "view":
        usual = JobView("", "")
        found = {key: getattr(value, key) for key in _VIEW}
        return {key: own for key, own in found.items() if own != getattr(usual, key)}
    if name == "end":
        marker = value.as_json()
        marker["error"] = {key: marker["error"][key] for key in _ERROR} if marker["error"] else None
        return {key: marker[key] for key in _END if marker[key] is not None}
    return value


def evidence_of(row: Row) -> Evidence:
    """The evidence of a row."""
    given = dict(row["evidence"])
    if "answer" in given:
        given["answer"] = Answer[given["answer"]]
    if "view" in given:
        given["view"] = JobView("12", elapsed_s=7, node="n1", **given["view"])
    if "end" in given:
        given["end"] = EndMarker.from_json(given["end"])
    if "last" in given:
        given["last"] = State(given["last"])
    return Evidence(**given)


def verdict_of(row: Row) -> Verdict:
    """What was decided."""
    own = (row["cause"], row["stale"], row["by_marker"], row["queued"])
    return Verdict(State(row["state"]), *own)
