"""What the states of steps say of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from planit.status.states import RunStatus, State, StepStatus, printable

OPEN = {State.RUNNING, State.PENDING, State.HELD}
FAILURES = {
    State.FAILED,
    State.TIMEOUT,
    State.OUT_OF_MEMORY,
    State.NODE_FAIL,
    State.CANCELLED,
    State.LOST,
}


def run(*states: State) -> RunStatus:
    return RunStatus("p", "r", tuple(StepStatus(f"s{i}", "s", s) for i, s in enumerate(states)))


@pytest.mark.parametrize("state", State)
def test_each_state_is_final_or_open_a_failure_or_not(state: State) -> None:
    assert state.is_final == (state not in OPEN)
    assert state.is_failure == (state in FAILURES)
    assert state.value == state.name


def test_a_run_is_final_when_all_its_steps_are() -> None:
    assert run().is_final
    assert run(State.DONE, State.FAILED, State.BLOCKED).is_final
    assert not run(State.DONE, State.PENDING).is_final


def test_a_run_is_not_final_while_nobody_answers_or_somebody_submits() -> None:
    done = run(State.DONE)
    assert not replace(done, stale=True).is_final
    assert not replace(done, submitting="process 1").is_final


def test_a_run_succeeded_when_every_step_is_done() -> None:
    assert run(State.DONE, State.DONE).succeeded
    assert not run(State.DONE, State.BLOCKED).succeeded


def test_the_steps_are_counted_by_state_and_found_by_name() -> None:
    status = run(State.DONE, State.FAILED, State.DONE)
    assert status.counts == Counter({State.DONE: 2, State.FAILED: 1})
    assert status.step("s1") is status.steps[1]


def test_a_new_status_knows_nothing() -> None:
    status = run(State.DONE)
    assert (status.incomplete, status.submitting, status.stale, status.problems) == (
        False, None, False, (),
    )  # fmt: skip
    step = status.steps[0]
    assert (step.job, step.cluster, step.attempt, step.elapsed_s) == (None, None, 0, None)
    assert (step.requested_s, step.stale, step.queued, step.ending) == (0.0, False, False, False)


def test_what_could_move_a_cursor_is_not_printed() -> None:
    assert (
        printable("a\x1b[2Jb\nc ä日")
        == "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c ä日"
    )


def test_a_run_is_stuck_when_nothing_that_is_left_can_start_by_itself() -> None:
    a, b = run(State.DONE, State.PENDING).steps
    stuck = RunStatus("p", "r", (a, replace(b, stuck=True)))
    assert stuck.is_stuck
    assert not stuck.is_final
    assert not run(State.DONE, State.PENDING).is_stuck
    assert not run(State.DONE).is_stuck
    assert not replace(stuck, steps=(*stuck.steps, *run(State.RUNNING).steps)).is_stuck
    for unsure in ({"stale": True}, {"submitting": "me"}, {"incomplete": True}):
        assert not replace(stuck, **unsure).is_stuck
