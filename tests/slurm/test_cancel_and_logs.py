"""`planit cancel`, `planit logs` and `planit runs`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    in_queue,
    lines,
    note,
    planit,
    settled,
    states,
    submit,
    until,
)

pytestmark = pytest.mark.slurm


def test_cancelled_step_takes_what_is_behind_it_and_nothing_else(
    slurm: Cluster, tmp_path: Path
) -> None:
    go = str(tmp_path / "go")
    branches = [
        Chain(
            Step(f"gate_{i}", steps.gate, ARGS, go, str(tmp_path / "begun")),
            note(f"tail_{i}", tmp_path / "ran"),
        )
        for i in range(4)
    ]
    first, join = note("first", tmp_path / "f"), note("join", tmp_path / "ran")
    run = submit(tmp_path, Chain(first, Parallel(*branches), join))
    until(lambda: len(lines(tmp_path / "begun")) == 4)
    done = planit(tmp_path, "cancel", "gate_1")
    assert done.out == f"Cancelled 3 step(s) of run {run.run_id}: gate_1, tail_1, join\n"
    again = planit(tmp_path, "cancel", "gate_1")
    assert again.out == (
        f"Nothing to cancel in run {run.run_id}\nSkipped: not in the queue: gate_1, tail_1, join\n"
    )
    until(lambda: states(run)["gate_1"] == "CANCELLED")
    found = states(run)
    assert [found[name] for name in ("tail_1", "join")] == ["CANCELLED", "CANCELLED"]
    (tmp_path / "go").touch()
    settled(run)
    assert sorted(lines(tmp_path / "ran")) == ["tail_0", "tail_2", "tail_3"]
    until(lambda: not in_queue(run))
    wrong = planit(tmp_path, "cancel", "gate_9")
    assert wrong.code == 5
    assert "did you mean gate_" in wrong.err
    assert planit(tmp_path, "cancel").out == f"Nothing to cancel in run {run.run_id}\n"
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    assert len(lines(tmp_path / "begun")) == 5


@pytest.fixture(scope="module")
def ended(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of which one step succeeded and two failed; nothing changes it."""
    base = tmp_path_factory.mktemp("ended")
    root = Parallel(
        Step("two words", steps.fail, ARGS, "first"),
        Step("bad", steps.fail, SlurmArgs("6", "batch"), "second"),
        Step("good", steps.note, ARGS, str(base / "ran"), "a\nb\nc"),
    )
    run = submit(base, root)
    assert sorted(settled(run).values()) == ["DONE", "FAILED", "FAILED"]
    return run


def test_without_a_step_the_logs_are_those_of_the_failed(ended: Run) -> None:
    failed = planit(ended.path.parents[1], "logs").out
    assert failed.count("Traceback") == 2
    assert failed.startswith("--- two words ---\n")
    assert "ValueError: second" in failed


def test_the_log_of_a_step_or_its_last_lines(ended: Run) -> None:
    base = ended.path.parents[1]
    assert planit(base, "logs", "good").out == "noted a\nb\nc\n"
    assert planit(base, "logs", "good", "--tail", "2").out == "b\nc\n"
    assert planit(base, "logs", ended.run_id[:12], "good", "-n", "1").out == "c\n"
    assert planit(base, "logs", "--follow").code == 5


def test_the_path_of_a_log(ended: Run) -> None:
    path = Path(planit(ended.path.parents[1], "logs", "two words", "--path").out.strip())
    assert path.read_text().endswith("ValueError: first\n")
    assert path == files_of(ended.path, "two words").log()


def test_a_log_is_followed_until_its_step_has_ended(slurm: Cluster, tmp_path: Path) -> None:
    run = submit(tmp_path, Step("slow", steps.gate, ARGS, str(tmp_path / "go")))
    until(lambda: states(run)["slow"] == "RUNNING")
    follow = subprocess.Popen(
        [sys.executable, "-m", "planit", "logs", "--runs-dir", str(tmp_path), "slow", "-f"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert follow.stdout is not None
    assert follow.stdout.readline() == "noted begun\n"
    assert follow.poll() is None
    (tmp_path / "go").touch()
    follow.communicate(timeout=20)
    assert follow.returncode == 0


def test_runs_are_listed_with_their_counts(ended: Run) -> None:
    listed = planit(ended.path.parents[1], "runs").out
    assert listed == f"{ended.run_id}  p  1 done, 2 failed\n"


def test_the_latest_run_comes_first_and_is_meant_by_default(slurm: Cluster, tmp_path: Path) -> None:
    run = submit(tmp_path, note("first", tmp_path / "ran"))
    second = submit(tmp_path, note("only", tmp_path / "ran"), plan="q")
    settled(run)
    settled(second)
    assert planit(tmp_path, "runs").out.startswith(f"{second.run_id}  q  1 done\n")
    assert run.run_id in planit(tmp_path, "status", "p").out
    nothing = planit(tmp_path, "logs")
    assert (nothing.code, f"no step of run {second.run_id}" in nothing.err) == (5, True)
    assert planit(tmp_path, "status", "2").code == 5  # two runs begin like that


def test_where_there_is_no_run_it_says_so(tmp_path: Path) -> None:
    missing = planit(tmp_path / "nowhere", "status")
    assert (missing.code, "no runs in" in missing.err) == (5, True)


def test_cancel_reaches_the_jobs_of_a_submission_whose_file_was_deleted(
    slurm: Cluster, tmp_path: Path
) -> None:
    gate = Step("gate", steps.gate, ARGS, str(tmp_path / "never"), str(tmp_path / "begun"))
    run = submit(tmp_path, Chain(gate, note("behind", tmp_path / "ran")))
    until(lambda: lines(tmp_path / "begun"))
    (run.path / "submissions" / "1.json").unlink()
    refused = planit(tmp_path, "resume")
    assert refused.code == 5
    assert "submissions/1.json cannot be read" in refused.err
    assert planit(tmp_path, "cancel", "gate").code == 5
    assert len(in_queue(run)) == 2
    done = planit(tmp_path, "cancel")
    assert (done.code, done.out.partition(" of run ")[0]) == (
        0,
        "Cancelled job(s) that were not in the record",
    )
    until(lambda: not [line for line in in_queue(run) if "COMPLETING" not in line])
    assert lines(tmp_path / "ran") == []
