"""Results on the real Slurm: a table while a sweep runs, one branch that fails, and the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Parallel, SlurmArgs, Step, Sweep
from planit.status.states import State
from tests.cluster import Cluster
from tests.slurm import steps, sweep_steps
from tests.slurm.tools import ARGS, planit, settled, submit, until

pytestmark = pytest.mark.slurm
RANKS = SlurmArgs("5", "batch", additional_params={"ntasks": 2})


def rows(base: Path, *words: str) -> list[Any]:
    done = planit(base, "results", *words, "--json")
    assert done.code == 0, done.err
    found: list[Any] = json.loads(done.out)["rows"]
    return found


def test_the_table_grows_with_the_run_and_is_whole_after_a_resume(
    slurm: Cluster, tmp_path: Path
) -> None:
    go, fixed = tmp_path / "go", tmp_path / "fixed"
    run = submit(
        tmp_path,
        Chain(
            Sweep("train", sweep_steps.scored, ARGS, over={"lr": [0.5, 2, 1]}, needs=str(fixed)),
            Step("gate", steps.gate, ARGS, str(go)),
            Parallel(
                Command("score", "srun bash -c 'echo [1] > $PLANIT_RESULT'", ARGS),
                Step("ranks", sweep_steps.rank, RANKS),
            ),
        ),
    )
    until(lambda: [run.status().counts[state] for state in (State.DONE, State.FAILED)] == [2, 1])
    table = planit(tmp_path, "results", "--sort", "-accuracy")
    assert (table.code, table.err) == (0, "")
    assert [line.split()[:3] for line in table.out.splitlines()[1:]] == [
        ["lr", "state", "accuracy"],
        ["1", "DONE", "0.5"],
        ["0.5", "DONE", "0.25"],
        ["2", "FAILED", "-"],
    ]
    fixed.touch()
    run.resume()
    until(lambda: run.status().step("gate").state == "RUNNING")
    assert [row["result"] for row in rows(tmp_path)] == [
        {"accuracy": 0.25},
        {"accuracy": 1.0},
        {"accuracy": 0.5},
    ]
    (row,) = rows(tmp_path, "gate")
    assert (row["state"], row["result"], row["values"]) == ("RUNNING", None, {})
    go.touch()
    assert set(settled(run, 120).values()) == {"DONE"}
    assert [row["result"] for row in rows(tmp_path, "score")] == [[1]]
    assert [row["result"] for row in rows(tmp_path, "ranks")] == [{"rank": 0}]
    assert len(planit(tmp_path, "results", "--where", "lr=2.0", "--csv").out.splitlines()) == 2
    assert list(run.path.glob("steps/*")) == []
