"""A step of several tasks on the real Slurm: each rank has what it needs to meet its peers."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Parallel, PlanError, Run, SlurmArgs, Step
from tests.cluster import Cluster
from tests.helpers import ROOT, files_of, run_python
from tests.slurm import rank_steps
from tests.slurm.tools import lines, note, settled, submit

pytestmark = [pytest.mark.slurm]

FIELD = SlurmArgs("5", "batch", nodes=2, tasks_per_node=2, cpus_per_task=2)
WAYS: dict[str, Any] = {
    "field": FIELD,
    "total": SlurmArgs("5", "batch", nodes=2, cpus_per_task=2, additional_params={"ntasks": 4}),
    "dict": {
        "slurm_time": "5", "slurm_partition": "batch", "nodes": 2, "tasks_per_node": 2,
        "cpus_per_task": 2,
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def ranks(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ended run of steps that have two nodes with two tasks each, however asked for."""
    base = tmp_path_factory.mktemp("ranks")
    ran = base / "ran"
    for name in (*WAYS, "bad"):
        (base / name).mkdir()
    text = f"echo $MASTER_ADDR:$MASTER_PORT $RANK >> {ran}; srun hostname >> {base / 'hosts'}"
    root = Parallel(
        *(Step(way, rank_steps.add_up, args, str(base / way)) for way, args in WAYS.items()),
        Chain(Step("bad", rank_steps.one_fails, FIELD, str(base / "bad")), note("behind", ran)),
        Command("once", text, FIELD),
    )
    began = time.monotonic()
    run = submit(base, root)
    settled(run, 120)
    assert time.monotonic() - began < 100  # the peers of the failed rank have not waited it out
    return run


@pytest.mark.parametrize("way", WAYS)
def test_each_rank_has_the_variables_of_torch_and_the_ranks_meet(ranks: Run, way: str) -> None:
    base = ranks.path.parents[1]
    assert ranks.status().step(way).state.value == "DONE"
    seen = [json.loads((base / way / f"{rank}.json").read_text()) for rank in range(4)]
    assert [one["RANK"] for one in seen] == ["0", "1", "2", "3"]
    nodes = [one["SLURMD_NODENAME"] for one in seen]  # of 4 tasks in all, one node may have 3
    here = [nodes[:rank].count(node) for rank, node in enumerate(nodes)]
    assert [int(one["LOCAL_RANK"]) for one in seen] == here
    assert [int(one["LOCAL_WORLD_SIZE"]) for one in seen] == [nodes.count(node) for node in nodes]
    assert way == "total" or here == [0, 1, 0, 1]
    assert {one["WORLD_SIZE"] for one in seen} == {"4"}
    assert len({(one["MASTER_ADDR"], one["MASTER_PORT"]) for one in seen}) == 1
    assert len({one["SLURMD_NODENAME"] for one in seen}) == 2


@pytest.mark.parametrize("way", WAYS)
def test_the_result_is_the_first_ranks_and_each_rank_has_its_log(ranks: Run, way: str) -> None:
    (row,) = ranks.results(way)
    assert row.result == {"rank": 0, "total": 20.0}
    _, *logs = files_of(ranks.path, way).logs()
    assert [f"rank {rank}\n" in log.read_text() for rank, log in enumerate(logs)] == [True] * 4


def test_a_rank_that_fails_ends_its_peers_and_fails_the_step(ranks: Run) -> None:
    base = ranks.path.parents[1]
    bad = ranks.status().step("bad")
    assert (bad.state.value, bad.cause) == ("FAILED", "ConnectionError: rank two is gone")
    assert ranks.status().step("behind").state.value == "BLOCKED"
    for note_of in (base / "bad").glob("pid*"):
        assert not Path("/proc", note_of.read_text()).exists()


def test_a_command_runs_once_and_knows_where_its_own_ranks_can_meet(ranks: Run) -> None:
    base = ranks.path.parents[1]
    assert ranks.status().step("once").state.value == "DONE"
    (line,) = lines(base / "ran")
    address, _, port = line.strip().partition(":")
    assert address
    assert 10_000 <= int(port) < 33_000
    assert len(lines(base / "hosts")) == 4


def test_the_example_adds_up_over_two_nodes(slurm: Cluster, tmp_path: Path) -> None:
    done = run_python(str(ROOT / "examples/all_reduce.py"), cwd=tmp_path)
    assert done.code == 0, done
    assert done.out.splitlines()[-1] == str([{"rank": i, "total": 20.0} for i in range(4)])


def test_ranks_have_the_jobs_environment_where_a_site_exports_nothing(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBATCH_EXPORT=NONE makes srun export nothing either, unless it is told to."""
    monkeypatch.setenv("SBATCH_EXPORT", "NONE")
    (tmp_path / "seen").mkdir()
    run = submit(tmp_path, Step("sum", rank_steps.add_up, FIELD, str(tmp_path / "seen")))
    assert settled(run, 90) == {"sum": "DONE"}


def test_a_command_that_srun_would_run_several_times_is_refused(
    slurm: Cluster, tmp_path: Path
) -> None:
    args = SlurmArgs("5", "batch", nodes=2, srun_args=["--cpu-bind=none"])
    with pytest.raises(PlanError, match="step 'c': srun would run this command once for each"):
        submit(tmp_path, Command("c", "true", args))
