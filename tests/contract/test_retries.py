"""Retries on this machine; on Slurm they take longer (tests/slurm/test_retries.py)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from planit.backends.local.backend import LocalBackend
from planit.errors import RunError
from planit.submit.new import NewRun
from tests.helpers import files_of
from tests.slurm import retry_steps as steps
from tests.slurm import retry_trees
from tests.slurm.tools import lines, planit, settled, until

ERROR: dict[str, Any] = {"error": {"times": 2, "on": ["ConnectionError"]}}


def step(name: str, retry: Any, function: Any, *words: Any, **more: Any) -> Step:
    args = SlurmArgs(time="5", partition="batch", cpus_per_task=1, retry=retry, **more)
    return Step(name, function, args, *words)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Each way to need a retry, with a step behind it."""
    base = tmp_path_factory.mktemp("retries")
    oom = {"oom": {"times": 2, "mem": "x2"}}
    plan: dict[str, Any] = {
        "flaky": (ERROR, steps.flaky, 2),
        "lines": (ERROR, steps.flaky, 1, {"setup": ["true"]}),
        "used_up": (ERROR, steps.flaky, 3),
        "not_meant": (ERROR, steps.fails, 1),
        "cuda": ({"cuda_oom": {"times": 1}}, steps.cuda_out_of_memory, 1),
        "memory": (oom, steps.needs_memory, 512, {"additional_params": {"mem": "200M"}}),
        "no_more": (oom, steps.needs_memory, 10**9, {"additional_params": {"mem": "900M"}}),
        "delayed": ({"error": {"times": 1, "delay": "1s"}}, steps.flaky, 1),
    }
    branches = []
    for name, (retry, function, number, *more) in plan.items():
        words = (str(base / name), number)
        branches.append(
            Chain(
                step(name, retry, function, *words, **(more[0] if more else {})),
                step(f"behind_{name}", None, steps.note, str(base / "ran"), name),
            )
        )
    new = NewRun("p", Parallel(*branches), base, LocalBackend(cpus=4, gpus=0, mem_gb=1))
    started = Run(new.start()[0].path, backend=new.backend)
    settled(started, 60)
    return started


def test_what_succeeds_in_the_end_releases_what_waits_for_it_once(run: Run) -> None:
    states = {one.name: str(one.state) for one in run.status().steps}
    fine = ("flaky", "lines", "cuda", "memory", "delayed")
    assert [states[name] for name in fine] == ["DONE"] * len(fine)
    assert sorted(lines(run.path.parents[1] / "ran")) == sorted(fine)


@pytest.mark.parametrize(
    ("name", "state", "cause"),
    [
        ("used_up", "FAILED", "ConnectionResetError: the other side is gone (attempt 3 of 3)"),
        ("not_meant", "FAILED", "ValueError: broken"),
        (
            "no_more",
            "OUT_OF_MEMORY",
            "out of memory (not tried again: this machine has no more memory than 1024 MB)",
        ),
    ],
)
def test_what_fails_in_the_end_says_why_and_nothing_behind_it_starts(
    run: Run, name: str, state: str, cause: str
) -> None:
    own = run.status().step(name)
    assert (str(own.state), own.cause) == (state, cause)
    assert str(run.status().step(f"behind_{name}").state) == "BLOCKED"


def test_the_record_has_the_cause_and_the_resources_of_each_attempt(run: Run) -> None:
    ends = [files_of(run.path, "memory").end(number) for number in range(3)]
    found = [(one.outcome, one.cause, one.retry and one.retry.memory_mb) for one in ends if one]
    assert found == [
        ("requeued", "oom", 400),
        ("requeued", "oom", 800),
        ("succeeded", None, None),
    ]
    log = files_of(run.path, "no_more").log().read_text()
    assert "planit: memory: 1024 MB of this machine, not 1800 MB" in log


def test_a_delay_is_kept(run: Run) -> None:
    first, second = (files_of(run.path, "delayed").end(number) for number in (0, 1))
    assert first is not None
    assert second is not None
    assert (second.started or 0) - (first.ended or 0) >= 1


def test_a_resume_raises_by_hand_what_the_policy_says(tmp_path: Path) -> None:
    rule = {"oom": {"times": 1, "mem": "x2"}, "timeout": {"times": 1, "time": "x3"}}
    more: dict[str, Any] = {"additional_params": {"mem": "100M"}}
    chain = Chain(
        step("memory", rule, steps.needs_memory, str(tmp_path / "memory"), 10**6, **more),
        step("behind", None, steps.note, str(tmp_path / "ran"), "behind"),
    )
    backend = LocalBackend(cpus=2, gpus=0, mem_gb=4)
    new = NewRun("p", chain, tmp_path, backend)
    run = Run(new.start()[0].path, backend=new.backend)
    assert settled(run)["memory"] == "OUT_OF_MEMORY"  # with 100 MB, then with 200 MB
    run.resume(raised=True)
    settled(run)
    submitted = json.loads((run.path / "submissions/2.json").read_text())
    assert '"mem": "400M"' in json.dumps(submitted)

    done = planit(tmp_path, "resume", "--raise", "--dry-run")
    assert done.code == 0, done.err


def test_a_resume_that_has_nothing_to_raise_says_so(run: Run, tmp_path: Path) -> None:
    new = NewRun(
        "p",
        step("fails", None, steps.fails, str(tmp_path / "x"), 1),
        tmp_path,
        LocalBackend(cpus=1, gpus=0),
    )
    own = Run(new.start()[0].path, backend=new.backend)
    settled(own)
    with pytest.raises(RunError, match="--raise: no step that is rerun ran out of memory or time"):
        own.resume(raised=True)


def test_a_cancelled_step_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "tries"
    slow = step("slow", {"error": {"times": 3}}, steps.runs_until, str(path), "never")
    new = NewRun("p", slow, tmp_path, LocalBackend(cpus=1, gpus=0, kill_wait_s=1))
    run = Run(new.start()[0].path, backend=new.backend)
    until(lambda: lines(path))
    run.cancel()
    assert settled(run) == {"slow": "CANCELLED"}
    assert lines(path) == ["try 1"]


def test_random_trees_with_random_causes_end_as_the_model_says(tmp_path: Path) -> None:
    trees = retry_trees.RandomTrees(tmp_path, seed=17)
    tree = Parallel(*(trees.made(f"t{number}") for number in range(50)))
    new = NewRun("p", tree, tmp_path, LocalBackend(cpus=4, gpus=0, mem_gb=4))
    run = Run(new.start()[0].path, backend=new.backend)
    found = settled(run, 60)
    assert {name: state == "DONE" for name, state in found.items()} == trees.succeeds
    assert {name: len(lines(tmp_path / name)) for name in trees.tries} == trees.tries
