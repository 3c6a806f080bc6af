"""A run's states as text and as JSON, from values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from planit.status.states import RunStatus, State, StepStatus
from planit.views.colors import colored
from planit.views.run_tree import counts_text, status_json, status_text, step_text

DONE, FAILED, PENDING = State.DONE, State.FAILED, State.PENDING
Tree = dict[str, Any]


def leaf(name: str, kind: str = "Step") -> Tree:
    return {"kind": kind, "name": name, "slug": name}


def group(kind: str, *children: Tree, label: str | None = None) -> Tree:
    return {"kind": kind, "children": list(children), **({"label": label} if label else {})}


def run(states: Mapping[str, State], **more: Any) -> RunStatus:
    steps = tuple(StepStatus(name, name, state) for name, state in states.items())
    return RunStatus("p", "r1", steps, **more)


def lines(status: RunStatus, tree: Tree, *, everything: bool = False) -> list[str]:
    return status_text(status, tree, everything=everything).split("\n")


def test_counts_are_in_the_order_of_the_states() -> None:
    counts = {State.NODE_FAIL: 2, DONE: 3, FAILED: 1, PENDING: 0}
    assert counts_text(counts) == "3 done, 1 failed, 2 node fail"
    assert counts_text({}) == "no steps"


# One step


STEP = StepStatus("a", "a", DONE)


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({}, "DONE     "),
        ({"job": "12_3"}, "DONE       job 12_3"),
        ({"job": "12", "cluster": "beta"}, "DONE       job 12 on beta"),
        ({"cluster": "beta"}, "DONE     "),
        ({"elapsed_s": 61.4, "requested_s": 3600.0}, "DONE       0:01:01 of 1:00:00"),
        ({"elapsed_s": 0.0, "requested_s": 60.0}, "DONE       0:00:00 of 0:01:00"),
        ({"node": "n1"}, "DONE       n1"),
        ({"attempt": 1}, "DONE     "),
        ({"attempt": 2}, "DONE       attempt 2"),
        ({"cause": "a\x1bb"}, "DONE       a\N{REPLACEMENT CHARACTER}b"),
        ({"stale": True}, "DONE       (stale)"),
        ({"state": State.OUT_OF_MEMORY}, "OUT_OF_MEMORY"),
        (
            {"job": "1", "elapsed_s": 5, "node": "n1", "attempt": 3, "cause": "x", "stale": True},
            "DONE       job 1  0:00:05 of 0:00:00  n1  attempt 3  x  (stale)",
        ),
    ],
)
def test_what_is_shown_of_a_step(more: dict[str, Any], text: str) -> None:
    assert step_text(replace(STEP, **more)) == text


# The tree


def test_the_tree_with_a_state_for_each_step() -> None:
    tree = group(
        "Chain",
        leaf("prep"),
        group("Parallel", leaf("x"), group("Chain", leaf("long name"), leaf("z"), label="two")),
        leaf("join"),
    )
    names = {"prep": DONE, "x": State.RUNNING, "long name": PENDING, "z": PENDING, "join": PENDING}
    assert lines(run(names), tree) == [
        "Run r1 of plan p: 1 done, 1 running, 3 pending",
        "└── ▼ Chain",
        "    ├── ● prep               DONE",
        "    ├── ⇉ Parallel",
        "    │   ├── ● x              RUNNING",
        "    │   └── ▼ two",
        "    │       ├── ● long name  PENDING",
        "    │       └── ● z          PENDING",
        "    └── ● join               PENDING",
    ]


def test_what_is_wrong_with_a_run_is_below_its_tree() -> None:
    status = run(
        {"a": PENDING}, incomplete=True, submitting="process 1", stale=True, problems=("x", "y")
    )
    incomplete, *rest = lines(status, leaf("a"))[2:]
    assert incomplete == (
        "Incomplete submission: nothing of it runs; planit resume finishes it, planit cancel clears"
        " it."
    )
    assert rest == [
        "Being submitted at this moment by process 1.",
        "Stale: the scheduler does not answer; these are the states it showed last.",
        "Note: x",
        "Note: y",
    ]
    assert len(lines(run({"a": PENDING}), leaf("a"))) == 2


def test_what_never_starts_is_named_and_what_to_do_is_said() -> None:
    status, tree = branches(12)
    steps = [replace(step, state=PENDING, cause="X", never=True) for step in status.steps[:1]]
    shown = lines(replace(status, steps=(*steps, *status.steps[1:])), tree)
    advice = "planit resume slurm.FIELD=VALUE submits them again with another request"
    assert shown[2:] == [
        "    ├── ● s: 11 done, 1 pending",
        "    └──   s_00  PENDING    X",
        f"1 step(s) will never start: {advice}, planit cancel clears them.",
    ]


def branches(count: int, failed: int = 0) -> tuple[RunStatus, Tree]:
    states = {f"s_{i:02}": FAILED if i < failed else DONE for i in range(count)}
    return run(states), group("Parallel", *(leaf(name) for name in states))


def test_ten_branches_are_shown_and_eleven_are_summed_up() -> None:
    assert len(lines(*branches(10))) == 12
    assert lines(*branches(11))[1:] == ["└── ⇉ Parallel", "    └── ● s: 11 done"]
    status, tree = branches(11)
    assert len(lines(status, tree, everything=True)) == 13


def test_of_a_sum_five_failures_are_named_and_the_rest_counted() -> None:
    assert lines(*branches(12, failed=5))[2:] == [
        "    ├── ● s: 7 done, 5 failed",
        *(f"    ├──   s_0{i}  FAILED" for i in range(4)),
        "    └──   s_04  FAILED",
    ]
    assert lines(*branches(12, failed=7))[-2:] == [
        "    ├──   s_04  FAILED",
        "    └──   and 2 more (--all lists them)",
    ]


def test_branches_of_another_form_are_not_summed_up_with_the_rest() -> None:
    names = [f"t_{i:02}" for i in range(11)]
    pairs = [group("Chain", leaf(name), leaf(f"{name}_x")) for name in names]
    odd = group("Chain", leaf("odd"), leaf("command", "Command"))
    states = {name: DONE for one in names for name in (one, f"{one}_x")}
    status = run({**states, "t_00_x": State.BLOCKED, "odd": DONE, "command": DONE})
    assert lines(status, group("Parallel", *pairs, odd))[2:] == [
        "    ├── ● t: 11 done",
        "    ├── ● t: 10 done, 1 blocked",
        "    └── ▼ Chain",
        "        ├── ● odd                DONE",
        "        └── ● command            DONE",
    ]


def test_a_sum_of_steps_without_a_common_beginning_is_called_steps() -> None:
    states = dict.fromkeys("abcdefghijkl", DONE)
    status, tree = run(states), group("Parallel", *(leaf(name) for name in states))
    assert lines(status, tree)[2] == "    └── ● steps: 12 done"


def test_a_chain_is_never_summed_up() -> None:
    states = {f"s_{i:02}": DONE for i in range(12)}
    assert len(lines(run(states), group("Chain", *(leaf(name) for name in states)))) == 14


def test_a_run_without_steps_is_shown() -> None:
    assert lines(run({}), group("Chain")) == ["Run r1 of plan p: no steps", "└── ▼ Chain"]


# JSON


def test_the_json_of_a_run() -> None:
    error = {"type": "E", "message": "m", "traceback": "t"}
    one = StepStatus(
        "a", "slug", FAILED, "1_2", "beta", 2, 1.5, 60.0, "n1", "E: m", error=error, queued=True
    )  # fmt: skip
    status = RunStatus("p", "r1", (one,), submitting="me", problems=("x",))
    assert status_json(status, "/runs/r1") == {
        "schema": 1,
        "plan": "p",
        "run": "r1",
        "path": "/runs/r1",
        "final": False,
        "succeeded": False,
        "incomplete": False,
        "submitting": "me",
        "stale": False,
        "problems": ["x"],
        "counts": {"FAILED": 1},
        "steps": [
            {
                "name": "a",
                "state": "FAILED",
                "job": "1_2",
                "cluster": "beta",
                "attempt": 2,
                "elapsed_s": 1.5,
                "requested_s": 60.0,
                "node": "n1",
                "cause": "E: m",
                "stuck": False,
                "stale": False,
                "error": error,
                "retry": None,
            }
        ],
    }
    good = status_json(run({"a": DONE}), "")
    assert (good["final"], good["succeeded"]) == (True, True)


# Colors


COLORS = {
    "green": ["DONE"],
    "cyan": ["RUNNING"],
    "yellow": ["PENDING", "HELD"],
    "bold red": ["FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "CANCELLED", "LOST"],
    "magenta": ["BLOCKED", "NOT_SUBMITTED"],
}


@pytest.mark.parametrize("state", State)
def test_each_state_has_its_color(state: State) -> None:
    text = colored(f"a  {state}  job 1")
    (color,) = (color for color, states in COLORS.items() if state in states)
    spans = [(str(span.style), span.start, span.end) for span in text.spans]
    assert spans == [(color, 3, 3 + len(state))]
