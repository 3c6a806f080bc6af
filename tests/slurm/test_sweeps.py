"""Sweeps on the real Slurm: arrays, failures that stay in their branch, joins, limits."""

from __future__ import annotations

import os
import random
from pathlib import Path

from planit import Chain, Node, Parallel, Run, SlurmArgs, Step, Sweep
from tests.cluster import Cluster
from tests.graph.reference import ancestors
from tests.slurm import steps, sweep_steps
from tests.slurm.tools import (
    ARGS,
    lines,
    note,
    of_run,
    planit,
    settled,
    slurm_says,
    submit,
    wrapped,
)

# The whole thesis 200 times takes minutes on two cores: PLANIT_TEST_BRANCHES=200 does it.
BRANCHES = int(os.environ.get("PLANIT_TEST_BRANCHES", "16"))
STEPS = ("pre_en", "bert", "roberta", "search", "xlm", "pre_nl", "nl", "evaluate", "plot")


def branch(number: int, fails: str | None) -> Node:
    """One branch of the shape of the thesis, whose step `fails` raises."""

    def step(name: str) -> Step:
        return Step(f"{name}[i={number}]", sweep_steps.fail_if, ARGS, name == fails)

    return Chain(
        Parallel(
            Chain(
                step("pre_en"),
                Parallel(step("bert"), step("roberta"), Chain(step("search"), step("xlm"))),
            ),
            Chain(step("pre_nl"), step("nl")),
        ),
        step("evaluate"),
        step("plot"),
    )


def test_failures_in_a_sweep_cancel_exactly_their_branches_tails(
    slurm: Cluster, tmp_path: Path
) -> None:
    chance = random.Random(7)
    unlucky = chance.sample(range(BRANCHES), max(3, BRANCHES // 20))
    fails = {number: chance.choice(STEPS) for number in unlucky}
    root = Chain(
        note("download", tmp_path / "noted"),
        Parallel(*(branch(i, fails.get(i)) for i in range(BRANCHES))),
    )
    with wrapped(tmp_path / "bin", ["sbatch"]) as calls:
        run = submit(tmp_path, root)
        assert len(lines(calls)) == 1 + len(STEPS)
    failed = {f"{name}[i={number}]" for number, name in fails.items()}
    expected = {
        name: "FAILED" if name in failed else "BLOCKED" if before & failed else "DONE"
        for name, before in ancestors(root).items()
    }
    assert settled(run, 600) == expected
    assert slurm_says("squeue", "-h", "-t", "pending", "-n", "pre_en") == ""


def test_a_join_waits_for_every_branch_and_a_failed_one_blocks_it(
    slurm: Cluster, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    sweeps = Chain(
        Sweep("train", steps.note, ARGS, str(noted), over={"text": list("abcdefgh")}),
        note("join", noted),
    )
    broken = Chain(
        Sweep("train", sweep_steps.fail_if, ARGS, over={"fails": [False, True]}),
        note("never", noted),
    )
    run, other = submit(tmp_path / "ok", sweeps), submit(tmp_path / "bad", broken)
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(noted)[:-1]) == list("abcdefgh")
    assert lines(noted)[-1] == "join"
    assert settled(other)["never"] == "BLOCKED"


def test_a_limit_holds_on_an_array_and_in_lanes(slurm: Cluster, tmp_path: Path) -> None:
    over = {"number": range(6)}
    array = Sweep(
        "a", sweep_steps.overlap, ARGS, str(tmp_path / "array"), over=over, max_concurrent=2
    )
    lanes = Parallel(
        *(
            Chain(*(Step(f"l{i}{j}", sweep_steps.overlap, ARGS, str(tmp_path / "lanes"), i)
                    for j in range(1 + i % 2)))
            for i in range(5)
        ),
        Step("bad", sweep_steps.fail_if, ARGS, True),
        max_concurrent=2,
    )  # fmt: skip
    run, other = submit(tmp_path / "r1", array), submit(tmp_path / "r2", lanes)
    assert set(settled(run).values()) == {"DONE"}
    found = settled(other)
    assert found.pop("bad") == "FAILED"
    assert set(found.values()) == {"DONE"}
    for name in ("array", "lanes"):
        assert max(int(line) for line in lines(tmp_path / name)) <= 2


def test_a_resume_submits_just_the_failed_tasks_and_their_tails(
    slurm: Cluster, tmp_path: Path
) -> None:
    flag = tmp_path / "mended"
    root = Chain(
        Parallel(
            *(
                Chain(
                    Step(
                        f"train[i={i}]", sweep_steps.fail_unless, ARGS, str(flag), i in (3, 17, 29)
                    ),
                    note(f"test[i={i}]", tmp_path / "noted"),
                )
                for i in range(30)
            )
        ),
        note("join", tmp_path / "noted"),
    )
    run = submit(tmp_path / "runs", root)
    settled(run)
    shown = planit(tmp_path / "runs", "status")
    assert "● train: 27 done, 3 failed" in shown.out
    assert "● test: 27 done, 3 blocked" in shown.out
    assert "train[i=17]" not in planit(tmp_path / "runs", "status", "--all").out.split("DONE")[0]
    flag.touch()
    with wrapped(tmp_path / "bin", ["sbatch"]) as calls:
        decisions = run.resume()
        assert len(lines(calls)) == 3
    rerun = [d.step for d in decisions if d.action == "rerun"]
    assert len(rerun) == 7
    assert set(settled(run).values()) == {"DONE"}
    assert len(lines(tmp_path / "noted")) == 31
    assert planit(tmp_path / "runs", "logs", "train[i=17]", "--path").out.count(".log\n") == 1


def test_squeue_shows_which_branch_a_task_is(slurm: Cluster, tmp_path: Path) -> None:
    sweep = Sweep("train", steps.note, ARGS, str(tmp_path / "noted"), over={"text": ["x", "y"]})
    behind = note("behind", tmp_path / "noted")
    run: Run = submit(tmp_path, Chain(sweep, behind), plan="my thesis")
    names = slurm_says("squeue", "-h", "-t", "pending", "-j", of_run(run, "behind"), "-o", "%j")
    assert names in ("my thesis/behind", "")  # it may have run already
    settled(run)
    job = of_run(run, "train[text=x]").partition("_")[0]
    jobs = f"{job},{of_run(run, 'behind')}"
    shown = slurm_says("squeue", "-h", "-t", "all", "-j", jobs, "-o", "%i %j")
    assert sorted(shown.splitlines()) == sorted(
        [
            f"{job}_0 my thesis/train[text=x]",
            f"{job}_1 my thesis/train[text=y]",
            f"{of_run(run, 'behind')} my thesis/behind",
        ]
    )


def test_tasks_that_wait_have_the_plan_and_what_their_names_have_in_common(
    slurm: Cluster, tmp_path: Path
) -> None:
    later = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    sweep = Sweep("train", steps.note, later, str(tmp_path / "noted"), over={"text": ["x", "y"]})
    run: Run = submit(tmp_path, sweep, plan="thesis")
    job = of_run(run, "train[text=x]").partition("_")[0]
    assert slurm_says("squeue", "-h", "-j", job, "-o", "%j") == "thesis/train"
    run.cancel()
