"""What waits for ever: shown with Slurm's reason, and neither `wait` nor `resume` waits with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, SlurmArgs
from planit.errors import StepsFailedError
from tests.cluster import Cluster
from tests.slurm.tools import (
    lines,
    note,
    of_run,
    planit,
    settled,
    slurm_says,
    status_json,
    submit,
    until,
)

pytestmark = pytest.mark.slurm
NEVER = ", so Slurm will never start it"
TOO_LONG = SlurmArgs("5", "short", cpus_per_task=1)


@pytest.fixture(scope="module", autouse=True)
def short(slurm: Cluster) -> Iterator[None]:
    """A partition with limits that Slurm does not enforce when a job is submitted."""
    slurm_says("scontrol", "create", "PartitionName=short", "Nodes=n1", "MaxTime=1", "MaxNodes=1")
    yield
    slurm_says("scancel", "--partition=short")
    slurm_says("scontrol", "delete", "PartitionName=short")


def reason(run: Run, name: str, text: str) -> None:
    until(lambda: run.status().step(name).cause == text)


def test_what_never_starts_is_told_and_a_resume_with_another_request_runs_it(
    tmp_path: Path,
) -> None:
    ran = tmp_path / "ran"
    root = Parallel(Chain(note("a", ran, TOO_LONG), note("b", ran)), note("other", ran))
    run = submit(tmp_path, root)
    reason(run, "a", f"PartitionTimeLimit{NEVER}")
    done = planit(tmp_path, "wait")
    assert done.code == 1
    assert f"a  PENDING    job {of_run(run, 'a')}  PartitionTimeLimit{NEVER}" in done.out
    assert "2 pending" in done.out
    assert "What is left will not start by itself" in done.err
    assert lines(ran) == ["other"]  # what could run was waited for
    with pytest.raises(StepsFailedError, match="PartitionTimeLimit") as stuck:
        run.wait()
    assert (list(stuck.value.failures), stuck.value.blocked) == (["a"], ("b",))
    assert str(stuck.value).splitlines()[0] == "1 step(s) of plan 'p' will not start: a"
    assert planit(tmp_path, "runs").out.endswith("1 done, 2 pending (stuck)\n")
    shown = planit(tmp_path, "status")
    assert (shown.code, "1 step(s) will never start" in shown.out) == (0, True)
    found = {one["name"]: one for one in status_json(tmp_path)["steps"]}
    assert [found[name]["stuck"] for name in ("a", "b", "other")] == [True, True, False]
    assert found["b"]["cause"] == "behind a, which will never start"
    assert planit(tmp_path, "resume", "slurm.time=00:01:00").code == 0
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(ran)) == ["a", "b", "other"]


def test_a_constraint_that_no_node_has_any_more(tmp_path: Path) -> None:
    feature = ["scontrol", "update", "NodeName=n2"]
    slurm_says(*feature, "AvailableFeatures=fast", "ActiveFeatures=fast")
    fast = SlurmArgs("5", "batch", additional_params={"constraint": "fast", "begin": "now+1hour"})
    run = submit(tmp_path, note("a", tmp_path / "ran", fast))
    slurm_says(*feature, "AvailableFeatures=", "ActiveFeatures=")
    reason(run, "a", "BeginTime")
    slurm_says("scontrol", "update", f"JobId={of_run(run, 'a')}", "StartTime=now")
    reason(run, "a", f"BadConstraints{NEVER}")
    with pytest.raises(StepsFailedError, match="BadConstraints"):
        run.wait()
    run.cancel()


def test_held_jobs_are_not_waited_for_and_what_may_pass_is(tmp_path: Path) -> None:
    later = SlurmArgs("5", "batch", additional_params={"begin": "now+1hour"})
    held = submit(tmp_path / "held", Chain(note("a", tmp_path / "ran", later), note("b", tmp_path)))
    slurm_says("scontrol", "hold", of_run(held, "a"))
    with pytest.raises(StepsFailedError, match="JobHeld"):
        held.wait()
    held.cancel()
    node = ["scontrol", "update", "NodeName=n2"]
    slurm_says(*node, "State=DRAIN", "Reason=test")
    on_it = SlurmArgs("5", "batch", cpus_per_task=1, additional_params={"nodelist": "n2"})
    try:
        run = submit(tmp_path, note("a", tmp_path / "ran", on_it))
        reason(run, "a", "ReqNodeNotAvail, UnavailableNodes:n2")
        assert not run.status().is_stuck
    finally:
        slurm_says(*node, "State=RESUME")
    assert settled(run) == {"a": "DONE"}


def test_a_first_step_whose_dependency_failed_where_slurm_does_not_cancel_it(
    tmp_path: Path,
) -> None:
    words = ["sbatch", "--parsable", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 1; false"]
    after = f"afterok:{slurm_says(*words)}"
    ran = tmp_path / "ran"
    root = Chain(note("a", ran), note("b", ran))
    run = submit(tmp_path, root, dependency=after, kill_on_invalid_dep=False)
    reason(run, "a", f"DependencyNeverSatisfied{NEVER}")
    with pytest.raises(StepsFailedError, match="DependencyNeverSatisfied"):
        run.wait()
    assert planit(tmp_path, "resume", "backend.dependency=null").code == 0
    assert set(settled(run).values()) == {"DONE"}


def test_more_nodes_than_the_partition_gives(tmp_path: Path) -> None:
    run = submit(tmp_path, note("a", tmp_path / "ran", SlurmArgs("1", "short", nodes=2)))
    reason(run, "a", f"PartitionNodeLimit{NEVER}")
    run.cancel()
    assert settled(run) == {"a": "CANCELLED"}
