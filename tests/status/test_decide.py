"""The table of states: each row is evidence as a run leaves it, and what it means."""

from __future__ import annotations

from typing import Any

import pytest

from planit.record.jobs import JobView
from planit.record.markers import EndMarker
from planit.status.decide import LOST_AFTER_S, SLURM_STATES, decide
from planit.status.evidence import Answer, Evidence
from planit.status.states import State

QUEUED, ACCOUNTED = Answer.QUEUED, Answer.ACCOUNTED
NO_ANSWER, UNKNOWN = Answer.NO_ANSWER, Answer.UNKNOWN


def view(state: str, reason: str | None = None, **more: Any) -> JobView:
    return JobView("12", state, elapsed_s=7, node="n1", reason=reason, **more)


def end(kind: str = "ValueError", message: str = "broken", code: int = 1) -> dict[str, Any]:
    return {"exit_code": code, "error": {"type": kind, "message": message}}


def evidence_of(outcome: str | None = None, end: Any = None, **more: Any) -> Evidence:
    """Evidence with an end marker as it is on disk."""
    marker = EndMarker.from_json({"outcome": outcome, **(end or {})})
    assert (marker is None) is (outcome is None)
    return Evidence(end=marker, **more)


def row(expected: State, cause: str | None = None, **evidence: Any) -> Any:
    """A row: the state, its cause, and the evidence."""
    name = "-".join(f"{key}={_short(value)}" for key, value in evidence.items())
    return pytest.param(expected, cause, evidence, id=f"{expected}-{name}")


def _short(value: Any) -> str:
    if isinstance(value, JobView):
        return f"{value.state}{':' + value.reason if value.reason else ''}"
    return str(value.name if isinstance(value, Answer | State) else value)[:40]


BAD = "ValueError: broken"
KILLED = end("Killed", "ended by signal 9 (SIGKILL) before the function returned", 137)
SIGKILL = "ended by signal 9 (SIGKILL) before the function returned"
BLOCKED = end("Blocked", "prep failed")
NEVER = ", so Slurm will never start it"
NEVER_STARTS = (
    "PartitionTimeLimit", "PartitionNodeLimit", "PartitionConfig", "InvalidAccount", "InvalidQOS",
    "AccountNotAllowed", "QOSNotAllowed", "AssocMaxWallDurationPerJobLimit", "QOSMaxCpuPerNode",
    "QOSMaxMemoryPerJob", "QOSMaxWallDurationPerJobLimit", "QOSMinGRES",
)  # fmt: skip
ROWS = [
    # nothing of it is anywhere
    row(State.NOT_SUBMITTED, submitted=False),
    row(State.NOT_SUBMITTED, "the submission was taken back: refused", aborted="refused"),
    row(State.CANCELLED, "cancelled by planit", aborted="refused", cancelled=True),
    row(State.NOT_SUBMITTED, "the submission stopped before it", has_job=False),
    # the end marker says succeeded
    row(State.DONE, outcome="succeeded"),
    row(State.DONE, outcome="succeeded", answer=NO_ANSWER),
    row(State.DONE, outcome="succeeded", answer=UNKNOWN),
    row(State.DONE, outcome="succeeded", answer=QUEUED, view=view("RUNNING")),
    row(State.DONE, outcome="succeeded", answer=QUEUED, view=view("COMPLETING")),
    row(State.DONE, outcome="succeeded", answer=QUEUED, view=view("COMPLETED")),
    row(State.PENDING, "BeginTime", outcome="succeeded", answer=QUEUED,
        view=view("PENDING", "BeginTime")),
    row(State.HELD, "JobHeldUser", outcome="succeeded", answer=QUEUED,
        view=view("PENDING", "JobHeldUser")),
    # the end marker says failed
    row(State.FAILED, BAD, outcome="failed", end=end()),
    row(State.FAILED, BAD, outcome="failed", end=end(), answer=QUEUED, view=view("FAILED")),
    row(State.FAILED, BAD, outcome="failed", end=end(), answer=QUEUED, view=view("COMPLETING")),
    row(State.FAILED, BAD, outcome="failed", end=end(), answer=ACCOUNTED, view=view("FAILED")),
    row(State.FAILED, BAD, outcome="failed", end=end(), answer=UNKNOWN),
    row(State.PENDING, "BeginTime", outcome="failed", end=end(), answer=QUEUED,
        view=view("PENDING", "BeginTime")),
    row(State.RUNNING, outcome="failed", end=end(), answer=QUEUED, view=view("RUNNING")),
    row(State.HELD, outcome="failed", end=end(), answer=QUEUED, view=view("REQUEUE_HOLD")),
    row(State.FAILED, BAD, outcome="failed", end=end(), memory_complaint=True),
    row(State.OUT_OF_MEMORY, "out of memory", outcome="failed",
        end=end("CalledProcessError", "died with <Signals.SIGKILL: 9>"), memory_complaint=True),
    row(State.OUT_OF_MEMORY, "out of memory", outcome="failed",
        end=end("CommandFailedError", "exit code 137 of: x", 137), memory_complaint=True),
    row(State.FAILED, "no reason given", outcome="failed", end={}),
    row(State.FAILED, "ValueError", outcome="failed", end=end(message="")),
    row(State.FAILED, "ValueError: one", outcome="failed", end=end(message="one\ntwo")),
    row(State.FAILED, "ended with exit code 3 before the function returned", outcome="failed",
        end=end("EndedEarly", "ended with exit code 3 before the function returned", 3)),
    # the end marker says blocked
    row(State.BLOCKED, "prep failed", outcome="blocked", end=BLOCKED),
    row(State.BLOCKED, "prep failed", outcome="blocked", end=BLOCKED, answer=ACCOUNTED,
        view=view("FAILED")),
    row(State.PENDING, outcome="blocked", end=BLOCKED, answer=QUEUED, view=view("PENDING")),
    # killed or terminated: the scheduler knows why
    row(State.FAILED, SIGKILL, outcome="killed", end=KILLED, started=True, answer=QUEUED,
        view=view("FAILED")),
    row(State.OUT_OF_MEMORY, "out of memory", outcome="killed", end=KILLED, started=True,
        answer=QUEUED, view=view("OUT_OF_MEMORY")),
    row(State.OUT_OF_MEMORY, "out of memory", outcome="killed", end=KILLED, started=True,
        answer=QUEUED, view=view("FAILED"), memory_complaint=True),
    row(State.CANCELLED, "cancelled while it ran", outcome="killed", end=KILLED, started=True,
        answer=QUEUED, view=view("CANCELLED")),
    row(State.FAILED, SIGKILL, outcome="killed", end=KILLED, started=True, answer=UNKNOWN),
    row(State.RUNNING, outcome="killed", end=KILLED, started=True, answer=NO_ANSWER),
    row(State.TIMEOUT, "exceeded the time limit", outcome="terminated", end=end(), started=True,
        answer=QUEUED, view=view("TIMEOUT")),
    row(State.CANCELLED, "cancelled while it ran", outcome="terminated", end=end(), started=True,
        answer=ACCOUNTED, view=view("CANCELLED")),
    row(State.CANCELLED, BAD, outcome="terminated", end=end(), started=True,
        answer=UNKNOWN),
    row(State.FAILED, BAD, outcome="terminated", end=end(), started=True, answer=QUEUED,
        view=view("COMPLETED")),
    row(State.PENDING, outcome="terminated", end=end(), started=True, answer=QUEUED,
        view=view("PENDING")),
    row(State.PENDING, "BeginTime", outcome="requeued", started=True, answer=QUEUED,
        view=view("PENDING", "BeginTime")),
    # no end marker
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "Priority")),
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "Dependency")),
    row(State.HELD, "JobHeldUser", answer=QUEUED, view=view("PENDING", "JobHeldUser")),
    row(State.HELD, "JobHeldAdmin", answer=QUEUED, view=view("PENDING", "JobHeldAdmin")),
    row(State.HELD, "JobHoldMaxRequeue", answer=QUEUED, view=view("PENDING", "JobHoldMaxRequeue")),
    row(State.HELD, "launch failed requeued held", answer=QUEUED,
        view=view("PENDING", "launch failed requeued held")),
    row(State.HELD, "job requeued in held state", started=True, answer=QUEUED,
        view=view("PENDING", "job requeued in held state")),
    row(State.HELD, f"BadConstraints{NEVER}", answer=QUEUED,
        view=view("PENDING", "BadConstraints")),
    # why it waits: what passes by itself within minutes is not worth a word
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "Resources")),
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "JobArrayTaskLimit")),
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "Dependency,None")),
    row(State.PENDING, "PartitionDown", answer=QUEUED, view=view("PENDING", "PartitionDown")),
    row(State.PENDING, "ReqNodeNotAvail, UnavailableNodes:n2", answer=QUEUED,
        view=view("PENDING", "ReqNodeNotAvail, UnavailableNodes:n2")),
    row(State.PENDING, "AssocGrpCpuLimit", answer=QUEUED,
        view=view("PENDING", "AssocGrpCpuLimit")),
    *(
        row(State.PENDING, f"{reason}{NEVER}", answer=QUEUED, view=view("PENDING", reason))
        for reason in NEVER_STARTS
    ),
    row(State.HELD, started=True, answer=QUEUED, view=view("SPECIAL_EXIT")),
    row(State.HELD, answer=QUEUED, view=view("RESV_DEL_HOLD", "Reservation night was deleted")),
    # reasons and states of Slurm 24.11 to 26.05
    *(
        row(State.PENDING, reason, answer=QUEUED, view=view("PENDING", reason))
        for reason in (
            "Constraints", "ReservationInvalid", "MaxCpuRunMinsPerUser", "MaxPoweredUpNodes",
            "MpiPortsBusy", "NvidiaImexChannels",
        )
    ),
    row(State.PENDING, started=True, answer=QUEUED, view=view("EXPEDITING")),
    row(State.PENDING, outcome="terminated", end=end(), started=True, answer=QUEUED,
        view=view("EXPEDITING")),
    row(State.RUNNING, started=True, answer=QUEUED,
        view=view("COMPLETING", "job requeued in held state")),
    # Slurm says so of tasks, too, whose own parent succeeded: the steps before it decide
    row(State.PENDING, answer=QUEUED, view=view("PENDING", "DependencyNeverSatisfied")),
    row(State.PENDING, f"DependencyNeverSatisfied{NEVER}", is_first=True, answer=QUEUED,
        view=view("PENDING", "DependencyNeverSatisfied")),
    row(State.RUNNING, started=True, answer=QUEUED, view=view("RUNNING")),
    row(State.RUNNING, answer=QUEUED, view=view("CONFIGURING")),
    row(State.RUNNING, started=True, answer=QUEUED, view=view("COMPLETING")),
    row(State.RUNNING, answer=QUEUED, view=view("A_STATE_OF_A_LATER_SLURM")),
    row(State.DONE, started=True, answer=QUEUED, view=view("COMPLETED")),
    row(State.FAILED, "the job ended without an end marker (state in Slurm: FAILED)", started=True,
        answer=ACCOUNTED, view=view("FAILED")),
    row(State.FAILED, "the job ended before the step began: see its log (setup lines, worker)",
        answer=ACCOUNTED, view=view("FAILED")),
    row(State.FAILED, "it could not be started", answer=QUEUED,
        view=view("FAILED", cause="it could not be started")),
    row(State.NODE_FAIL, "the job ended without an end marker (state in Slurm: NODE_FAIL)",
        started=True, answer=ACCOUNTED, view=view("NODE_FAIL")),
    row(State.TIMEOUT, "exceeded the time limit", started=True, answer=ACCOUNTED,
        view=view("DEADLINE")),
    row(State.CANCELLED, "cancelled before it ran", answer=ACCOUNTED, view=view("CANCELLED")),
    row(State.CANCELLED, "cancelled while it ran", started=True, answer=QUEUED,
        view=view("PREEMPTED")),
    row(State.OUT_OF_MEMORY, "out of memory", started=True, answer=QUEUED,
        view=view("OUT_OF_MEMORY")),
    row(State.OUT_OF_MEMORY, "out of memory", started=True, answer=ACCOUNTED,
        view=view("FAILED"), memory_complaint=True),
    row(State.TIMEOUT, "exceeded the time limit", started=True, answer=ACCOUNTED,
        view=view("TIMEOUT"), memory_complaint=True),
    # nobody answers, or nobody knows it
    row(State.PENDING, answer=NO_ANSWER),
    row(State.RUNNING, started=True, answer=NO_ANSWER),
    row(State.HELD, answer=NO_ANSWER, last=State.HELD),
    row(State.PENDING, "Slurm does not show the job", answer=UNKNOWN),
    row(State.RUNNING, "Slurm does not show the job", answer=UNKNOWN, started=True,
        missing_s=LOST_AFTER_S - 1),
    row(State.LOST, "Slurm no longer has the job, and it left no end marker", answer=UNKNOWN,
        missing_s=LOST_AFTER_S),
    row(State.CANCELLED, "cancelled by planit", answer=UNKNOWN, cancelled=True),
]  # fmt: skip


@pytest.mark.parametrize(("expected", "cause", "evidence"), ROWS)
def test_the_state_and_its_cause(
    expected: State, cause: str | None, evidence: dict[str, Any]
) -> None:
    decision = decide(evidence_of(**evidence))
    assert (decision.state, decision.cause) == (expected, cause)
    assert decision.never == (cause or "").endswith(NEVER)


def test_what_nobody_answered_is_stale() -> None:
    stale = [
        Evidence(answer=NO_ANSWER),
        evidence_of(answer=NO_ANSWER, outcome="failed", end=end()),
        Evidence(answer=UNKNOWN, missing_s=1),
    ]
    assert [decide(evidence).stale for evidence in stale] == [True, True, True]
    sure = [
        evidence_of(answer=NO_ANSWER, outcome="succeeded"),
        Evidence(answer=UNKNOWN, missing_s=LOST_AFTER_S),
        evidence_of(answer=UNKNOWN, outcome="failed", end=end()),
    ]
    assert [decide(evidence).stale for evidence in sure] == [False, False, False]


@pytest.mark.parametrize("state", sorted(SLURM_STATES))
def test_what_the_queue_still_has_is_said_to_be_queued(state: str) -> None:
    decision = decide(Evidence(answer=QUEUED, view=view(state)))
    assert decision.queued is not decision.state.is_final
