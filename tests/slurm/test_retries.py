"""Retries on a real Slurm: the job goes back into the queue, and what waits for it goes on."""

from __future__ import annotations

import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Packed, Parallel, Run, SlurmArgs, Step
from planit.record.markers import EndMarker
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import retry_steps, retry_trees
from tests.slurm.tools import (
    ARGS,
    begin_now,
    in_queue,
    lines,
    of_run,
    planit,
    settled,
    slurm_says,
    submit,
    until,
    wrapped,
)

pytestmark = pytest.mark.slurm
ERROR: dict[str, Any] = {"error": {"times": 2, "on": ["ConnectionError"]}}
NO_MORE = "no node of partition batch has more memory than 20000 MB"
OOM: dict[str, Any] = {"oom": {"times": 2, "mem": "x2"}}


def args(retry: Any, time: str = "5", **more: Any) -> SlurmArgs:
    return SlurmArgs(time=time, partition="batch", cpus_per_task=1, retry=retry, **more)


def mem(text: str) -> dict[str, Any]:
    return {"additional_params": {"mem": text}}


def ends(run: Run, step: str, count: int) -> list[EndMarker]:
    found = [files_of(run.path, step).end(number) for number in range(count)]
    return [end for end in found if end is not None]


def retries(run: Run, step: str, count: int) -> list[tuple[Any, ...]]:
    """Of each attempt its outcome, its cause and what the next one has."""
    return [(e.outcome, e.cause, e.retry and e.retry.memory_mb) for e in ends(run, step, count)]


@pytest.fixture(scope="module")
def run(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Single jobs for each cause, each with a step behind it; they have ended."""
    base = tmp_path_factory.mktemp("single")
    slow = {"timeout": {"times": 1, "time": "x2"}}
    plan: dict[str, Any] = {
        "flaky": (retry_steps.flaky, 2, args(ERROR)),
        "lines": (retry_steps.flaky, 1, args(ERROR, setup=["true"])),
        "used_up": (retry_steps.flaky, 3, args(ERROR)),
        "memory": (retry_steps.needs_memory, 600, args(OOM, **mem("150M"))),
        "killed": (retry_steps.killed_at_its_limit, 430, args(OOM, **mem("500M"))),
        "no_more": (retry_steps.needs_memory, 10**6, args(OOM, **mem("15000M"))),
        "slow": (retry_steps.slow_until, 2, args(slow, time="1")),
        "slow_lines": (retry_steps.slow_until, 2, args(slow, time="1", setup=["true"])),
        "too_slow": (retry_steps.slow_until, 3, args({"timeout": {"times": 1}}, time="1")),
    }
    branches = [
        Chain(
            Step(name, function, wanted, str(base / name), number),
            Step(f"behind_{name}", retry_steps.note, ARGS, str(base / "ran"), name),
        )
        for name, (function, number, wanted) in plan.items()
    ]
    started = submit(base, Parallel(*branches))
    settled(started, 240)
    return started


FINE = ("flaky", "lines", "memory", "killed", "slow", "slow_lines")


def test_what_waits_starts_once_after_the_attempt_that_succeeds(run: Run) -> None:
    found = {one.name: str(one.state) for one in run.status().steps}
    assert {name: found[name] for name in FINE} == dict.fromkeys(FINE, "DONE")
    assert sorted(lines(run.path.parents[1] / "ran")) == sorted(FINE)
    assert in_queue(run) == []


def test_the_record_has_cause_and_resources_of_each_attempt(run: Run) -> None:
    assert retries(run, "memory", 3) == [
        ("requeued", "oom", 300),
        ("requeued", "oom", 600),
        ("succeeded", None, None),
    ]
    assert retries(run, "killed", 2) == [("requeued", "oom", 1000), ("succeeded", None, None)]
    for name in ("slow", "slow_lines"):
        first, second = ends(run, name, 2)
        assert (first.outcome, first.cause) == ("requeued", "timeout")
        assert first.retry is not None
        assert first.retry.minutes == 2
        assert second.outcome == "succeeded"


def test_what_is_raised_is_clamped_to_what_the_nodes_have_and_told(run: Run) -> None:
    first = ends(run, "no_more", 1)[0]
    assert first.retry is not None
    assert first.retry.memory_mb == 20000
    told = "memory: 20000 MB, not 30000 MB, which no node of partition batch has"
    assert first.retry.told == (told,)
    assert f"planit: {told}" in files_of(run.path, "no_more").log().read_text()


@pytest.mark.parametrize(
    ("name", "state", "cause"),
    [
        ("used_up", "FAILED", "ConnectionResetError: the other side is gone (attempt 3 of 3)"),
        ("too_slow", "TIMEOUT", "exceeded the time limit (attempt 2 of 2)"),
        (
            "no_more",
            "OUT_OF_MEMORY",
            f"out of memory (not tried again: {NO_MORE})",
        ),
    ],
)
def test_with_the_budget_used_up_nothing_behind_it_starts(
    run: Run, name: str, state: str, cause: str
) -> None:
    own = run.status().step(name)
    assert (str(own.state), own.cause) == (state, cause)
    assert str(run.status().step(f"behind_{name}").state) == "BLOCKED"


def test_one_task_of_an_array_retries_alone_and_the_join_waits_for_it(
    slurm: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    failures = {"a": 0, "b": 1, "c": 0, "d": 3}

    def branches(names: str) -> Parallel:
        return Parallel(
            *(
                Chain(
                    Step(
                        f"train_{n}", retry_steps.flaky, args(ERROR), str(tmp_path / n), failures[n]
                    ),
                    Step(f"eval_{n}", retry_steps.note, ARGS, str(ran), n),
                )
                for n in names
            )
        )

    def join(name: str) -> Step:
        return Step(name, retry_steps.note, ARGS, str(ran), name)

    good = submit(tmp_path, Chain(branches("abc"), join("join")), plan="good")
    assert set(settled(good, 90).values()) == {"DONE"}
    found = lines(ran)
    assert sorted(found[:2]) == ["a", "c"]
    assert found[2:] == ["b", "join"]

    ran.unlink()
    for name in "abc":
        (tmp_path / name).unlink()
    bad = submit(tmp_path, Chain(branches("abd"), join("never")), plan="bad")
    states = settled(bad, 120)
    assert sorted(lines(ran)) == ["a", "b"]
    assert states["train_d"] == "FAILED"
    assert states["eval_d"] == states["never"] == "BLOCKED"
    assert in_queue(bad) == []


def test_status_tells_of_a_step_that_is_tried_again_and_cancel_ends_it(
    slurm: Cluster, tmp_path: Path
) -> None:
    wanted = {"error": {"times": 2, "delay": "10m"}}
    step = Step("flaky", retry_steps.flaky, args(wanted), str(tmp_path / "tries"), 9)
    behind = Step("behind", retry_steps.note, ARGS, str(tmp_path / "ran"), "behind")
    run = submit(tmp_path, Chain(step, behind))
    until(lambda: run.status().step("flaky").retry is not None)
    assert until(lambda: "attempt 2 of 3, after an error" in planit(tmp_path, "status").out)
    assert planit(tmp_path, "cancel").code == 0
    states = settled(run)
    assert states["flaky"] == "CANCELLED"
    assert lines(tmp_path / "tries") == ["try 1"]
    assert lines(tmp_path / "ran") == []


def test_a_cancelled_step_and_one_that_its_user_requeues_do_not_count(
    slurm: Cluster, tmp_path: Path
) -> None:
    wanted = args({"error": {"times": 1}, "timeout": {"times": 1}, "oom": {"times": 1}})
    stop = tmp_path / "stop"
    step = Step("runs", retry_steps.runs_until, wanted, str(tmp_path / "tries"), str(stop))
    run = submit(tmp_path, step)
    until(lambda: lines(tmp_path / "tries") == ["try 1"])
    slurm_says("scontrol", "requeue", of_run(run, "runs"))
    until(lambda: begin_now(run, "runs") and len(lines(tmp_path / "tries")) == 2, 60)
    assert [end.retry for end in ends(run, "runs", 2)] in ([], [None])
    slurm_says("scancel", of_run(run, "runs"))
    assert settled(run) == {"runs": "CANCELLED"}
    assert len(lines(tmp_path / "tries")) == 2


def test_a_node_failure_counts_and_the_node_is_left_out(
    slurm_alone: Cluster, tmp_path: Path
) -> None:
    wanted = {"node_fail": {"times": 1, "exclude": True}}
    stop = tmp_path / "stop"
    step = Step("runs", retry_steps.runs_until, args(wanted), str(tmp_path / "tries"), str(stop))
    behind = Step("behind", retry_steps.note, ARGS, str(tmp_path / "ran"), "behind")
    run = submit(tmp_path, Chain(step, behind))

    def fail_node(tries: int) -> str:
        until(lambda: len(lines(tmp_path / "tries")) == tries, 60)
        node = slurm_says("squeue", "-h", "-o", "%N", "-j", of_run(run, "runs"))
        slurm_says("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        return node

    def is_up(node: str) -> bool:
        if "DOWN" not in slurm_says("scontrol", "-o", "show", "node", node):
            return True
        # Slurm refuses it while the node still ends its jobs.
        command = ["scontrol", "update", f"nodename={node}", "state=resume"]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def nodes_up() -> None:
        for node in ("n1", "n2"):
            until(partial(is_up, node), 60)

    try:
        first = fail_node(1)
        nodes_up()
        until(lambda: begin_now(run, "runs") and len(lines(tmp_path / "tries")) == 2, 90)
        assert run.status().step("runs").retry == "attempt 2 of 2, after a node failure"
        second = fail_node(2)
        assert {first, second} == {"n1", "n2"}
        nodes_up()
        until(lambda: begin_now(run, "runs") and run.status().is_final, 90)
    finally:
        nodes_up()
    own = run.status().step("runs")
    assert (str(own.state), own.cause) == ("NODE_FAIL", f"{second} failed (attempt 2 of 2)")
    assert len(lines(tmp_path / "tries")) == 2
    assert lines(tmp_path / "ran") == []


def test_where_slurm_does_not_requeue_the_step_fails_with_that_reason(
    slurm: Cluster, tmp_path: Path
) -> None:
    refuses = 'if [ "$1" = requeuehold ]; then echo "is disabled" >&2; exit 1; fi; real "$@"'
    step = Step("flaky", retry_steps.flaky, args(ERROR), str(tmp_path / "tries"), 1)
    behind = Step("behind", retry_steps.note, ARGS, str(tmp_path / "ran"), "behind")
    with wrapped(tmp_path / "bin", {"scontrol": refuses}):  # the job's PATH, too
        run = submit(tmp_path, Chain(step, behind))
        assert settled(run) == {"flaky": "FAILED", "behind": "BLOCKED"}
    why = "(not tried again: scontrol requeuehold: is disabled)"
    assert run.status().step("flaky").cause == f"ConnectionResetError: the other side is gone {why}"
    assert lines(tmp_path / "tries") == ["try 1"]


def test_random_trees_with_random_causes_end_as_the_model_says(
    slurm: Cluster, tmp_path: Path
) -> None:
    trees = retry_trees.RandomTrees(tmp_path, seed=16)
    run = submit(tmp_path, Parallel(*(trees.made(f"t{number}") for number in range(50))))
    found = settled(run, 420)
    assert {name: state == "DONE" for name, state in found.items()} == trees.succeeds
    for name, times in trees.tries.items():
        assert len(lines(tmp_path / name)) == times, name
    assert in_queue(run) == []


def test_steps_of_a_packed_job_are_tried_again_inside_it(slurm: Cluster, tmp_path: Path) -> None:
    flaky = Step("flaky", retry_steps.flaky, args(ERROR), str(tmp_path / "tries"), 2)
    lines_too = args(ERROR, setup=["true"])
    other = Step("lines", retry_steps.flaky, lines_too, str(tmp_path / "other"), 1)
    used_up = Step("used_up", retry_steps.flaky, args(ERROR), str(tmp_path / "used_up"), 3)
    behind = Step("behind", retry_steps.note, ARGS, str(tmp_path / "ran"), "behind")
    never = Step("never", retry_steps.note, ARGS, str(tmp_path / "ran"), "never")
    job = args(None)
    tree = Parallel(Chain(Parallel(flaky, other), behind), Chain(used_up, never))
    run = submit(tmp_path, Packed(tree, job))
    states = settled(run, 60)
    assert [states[name] for name in ("flaky", "lines", "behind")] == ["DONE"] * 3
    assert (states["used_up"], states["never"]) == ("FAILED", "BLOCKED")
    assert lines(tmp_path / "ran") == ["behind"]
    assert retries(run, "flaky", 3)[-1][0] == "succeeded"
