"""What is blocked, by whom, and what only looks like it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pytest

from planit.record.history import History, Placement
from planit.status.causes import with_causes
from planit.status.states import State, StepStatus

DONE, FAILED, PENDING, BLOCKED = State.DONE, State.FAILED, State.PENDING, State.BLOCKED


def step(name: str, state: State, cause: str | None = None, **more: Any) -> StepStatus:
    return StepStatus(name, name, state, cause=cause, **more)


def found(
    steps: Sequence[StepStatus],
    parents: Mapping[str, Sequence[str]],
    *,
    started: Collection[str] = (),
    cancelled: Mapping[str, int] | None = None,
    lanes: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, StepStatus]:
    lanes = lanes or {}
    history = History(
        placements={
            one.name: Placement(1, 0, None, None, None, (), {}, tuple(lanes.get(one.name, ())))
            for one in steps
        },
        parents={name: tuple(names) for name, names in parents.items()},
        cancelled=dict(cancelled or {}),
    )
    return with_causes({one.name: one for one in steps}, history, started)


def test_what_waits_for_a_failed_step_is_blocked_by_it_and_so_is_what_is_behind() -> None:
    steps = [
        step("a", FAILED, "ValueError: x"),
        step("b", PENDING, elapsed_s=3.0, stale=True),
        step("c", State.CANCELLED),
        step("other", PENDING),
    ]
    result = found(steps, {"b": ["a"], "c": ["b"], "other": []})
    assert list(result) == ["a", "b", "c", "other"]
    assert result["a"] == steps[0]
    for name in ("b", "c"):
        assert result[name].state is BLOCKED
        assert result[name].cause == "blocked by a: FAILED"
        assert (result[name].elapsed_s, result[name].stale) == (None, False)
    assert result["other"] == steps[3]


def test_a_failure_without_a_cause_is_named_by_its_state() -> None:
    steps = [step("a", State.LOST), step("b", PENDING)]
    assert found(steps, {"b": ["a"]})["b"].cause == "blocked by a: LOST"


@pytest.mark.parametrize(
    "state",
    [State.CANCELLED, State.LOST, BLOCKED, PENDING, State.HELD, State.NOT_SUBMITTED],
)
def test_what_never_started_may_look_like_this(state: State) -> None:
    result = found([step("a", FAILED), step("b", state, "x")], {"b": ["a"]})
    assert (result["b"].state, result["b"].cause) == (BLOCKED, "blocked by a: FAILED")


@pytest.mark.parametrize(
    "state", [DONE, State.RUNNING, FAILED, State.TIMEOUT, State.OUT_OF_MEMORY, State.NODE_FAIL]
)
def test_what_ran_or_failed_by_itself_is_not_blocked(state: State) -> None:
    steps = [step("a", FAILED), step("b", state, "x")]
    assert found(steps, {"b": ["a"]})["b"] == steps[1]


def test_what_started_is_not_blocked() -> None:
    steps = [step("a", FAILED), step("b", State.CANCELLED, "cancelled while it ran")]
    assert found(steps, {"b": ["a"]}, started=["b"])["b"] == steps[1]
    assert found(steps, {"b": ["a"]}, started=["a"])["b"].state is BLOCKED


def test_what_was_cancelled_through_planit_is_not_blocked() -> None:
    steps = [step("a", FAILED), step("b", State.CANCELLED)]
    assert found(steps, {"b": ["a"]}, cancelled={"b": 1})["b"] == steps[1]


def test_what_waits_for_a_step_that_its_own_marker_calls_blocked_is_blocked_by_that() -> None:
    steps = [step("a", BLOCKED, "prep failed"), step("b", PENDING)]
    assert found(steps, {"b": ["a"]})["b"].cause == "blocked by a: BLOCKED"


def test_several_causes_are_named_once_each_and_only_the_first_three() -> None:
    names = ["a", "b", "c", "d", "e"]
    failed = [step(name, FAILED) for name in names]
    last = step("z", PENDING)
    three = found([*failed, last], {"z": names[:3]})["z"].cause
    assert three == "blocked by a: FAILED; b: FAILED; c: FAILED"
    four = found([*failed, last], {"z": names[:4]})["z"].cause
    assert four == "blocked by a: FAILED; b: FAILED; c: FAILED and 1 more"
    five = found([*failed, last], {"z": names})["z"].cause
    assert five == "blocked by a: FAILED; b: FAILED; c: FAILED and 2 more"
    both = [failed[0], step("x", PENDING), step("y", PENDING), last]
    once = found(both, {"x": ["a"], "y": ["a"], "z": ["x", "y"]})["z"].cause
    assert once == "blocked by a: FAILED"


def test_a_blocked_step_hands_on_the_first_of_its_causes() -> None:
    steps = [step("a", FAILED), step("b", FAILED), step("m", PENDING), step("z", PENDING)]
    result = found(steps, {"m": ["a", "b"], "z": ["m"]})
    assert result["m"].cause == "blocked by a: FAILED; b: FAILED"
    assert result["z"].cause == "blocked by a: FAILED"


def test_where_nothing_failed_nothing_is_blocked() -> None:
    steps = [step("a", DONE), step("b", PENDING), step("c", State.HELD)]
    after = found(steps, {"b": ["a"], "c": ["b"]})
    assert [(one.state, one.cause) for one in after.values()] == [
        (one.state, one.cause) for one in steps
    ]


def test_what_is_behind_a_step_that_never_starts_is_stuck_as_well() -> None:
    steps = [
        step("a", PENDING, "PartitionTimeLimit, so Slurm will never start it", never=True),
        step("b", PENDING),
        step("c", PENDING),
        step("held", State.HELD, "JobHeldUser"),
        step("d", PENDING),
        step("other", PENDING, "BeginTime"),
        step("behind_other", PENDING),
        step("runs", State.RUNNING),
    ]
    parents = {"b": ["a"], "c": ["b"], "d": ["held"], "behind_other": ["other"], "runs": ["a"]}
    result = found(steps, parents)
    assert [name for name, one in result.items() if one.stuck] == ["a", "b", "c", "held", "d"]
    behind = "behind a, which will never start"
    causes = [result[name].cause for name in ("b", "c", "d", "behind_other")]
    assert causes == [behind, behind, None, None]


def test_what_waits_for_the_end_of_a_step_that_never_starts_is_stuck_too() -> None:
    steps = [step("a", PENDING, never=True), step("b", PENDING)]
    assert found(steps, {}, lanes={"b": ["a"]})["b"].stuck
