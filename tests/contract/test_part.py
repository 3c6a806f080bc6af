"""A part of a plan, with the rest done in an earlier run, on every backend."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import Chain, Command, Plan, PlanError, RunError, Step
from planit.backends import registry
from planit.graph import Branch, merge
from planit.record.run_dir import RunDir
from planit.submit.cleaning import refuse_used, removable, users
from tests.contract import standing_steps
from tests.contract.drivers import ARGS, ON_SLURM
from tests.slurm.tools import settled, until

RATES = (0.1, 0.2, 0.3)


def plan(out: Path) -> Plan:
    """prepare, a train and a copy for each rate, and compare, which writes what it found."""
    rows = []
    for lr in RATES:
        prepare = Step("prepare", standing_steps.prepare, ARGS)
        train = Step("train", standing_steps.train, ARGS, lr, data=prepare.dir / "data")
        copy = Command("copy", f'cp "$PLANIT_PARENTS" "{out}/$PLANIT_STEP"', ARGS)
        paths = [str(out / "compare"), train.dir / "model"]
        named = {"models": f"{train.dir}/model"}
        compare = Step("compare", standing_steps.compare, ARGS, *paths, named=named)
        rows.append(Branch({"lr": str(lr)}, Chain(prepare, train, copy, compare)))
    return Plan("p", merge(rows, join=["compare"]))


def submit(made: Plan, base: Path, kind: str, **part: Any) -> None:
    """Submit a part of a plan, and wait until it has ended."""
    local = {"cpus": 8} if kind == "local" else None
    made.submit(submitit.AutoExecutor(folder=base, cluster=kind), local=local, **part)
    made.wait()


@dataclass(frozen=True)
class Earlier:
    """A run in which everything was done but the last step, and the backend that it had."""

    run: RunDir
    kind: str


@pytest.fixture(scope="module", params=["local", ON_SLURM])
def earlier(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Earlier:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    folder = tmp_path_factory.mktemp("earlier")
    submit(made := plan(folder), folder / "runs", request.param, until="copy")
    assert made.run is not None
    assert len(made.jobs) == 1 + 2 * len(RATES)
    return Earlier(RunDir(made.run.path), request.param)


@pytest.mark.parametrize("here", [True, False])
def test_the_rest_finds_folders_values_and_results_in_the_earlier_run(
    earlier: Earlier, tmp_path: Path, here: bool
) -> None:
    kind = "debug" if here else earlier.kind
    made = plan(tmp_path)
    submit(made, tmp_path / "runs", kind, only="compare", after=earlier.run.path)
    assert len(made.jobs) == 1
    told = json.loads((tmp_path / "compare").read_text())
    assert told["models"] == told["named"] == [f"data {lr}" for lr in RATES]
    folders = [str(earlier.run.step_dir(f"train-00{i}")) for i in range(len(RATES))]
    assert [one["dir"] for one in told["train"]] == folders
    assert [one["values"] for one in told["train"]] == [{"lr": lr} for lr in RATES]
    assert [one["result"] for one in told["train"]] == [{"loss": 2 * lr} for lr in RATES]
    assert [one["name"] for one in told["parents"]] == [f"copy[lr={lr}]" for lr in RATES]
    if made.run is not None:
        assert [step.name for step in made.run.status().steps] == ["compare"]
        made.run.resume(start_from=["compare"])
        assert settled(made.run, 60) == {"compare": "DONE"}


def test_of_a_run_after_a_run_both_count(earlier: Earlier, tmp_path: Path) -> None:
    middle, last = plan(tmp_path), plan(tmp_path)
    wanted = {"only": ["train[lr=0.1]", "copy[lr=0.1]"], "after": earlier.run.path}
    submit(middle, tmp_path / "runs", earlier.kind, **wanted)
    assert middle.run is not None
    (tmp_path / "copy[lr=0.1]").unlink()
    submit(last, tmp_path / "runs", earlier.kind, start_from="compare", after=middle.run.run_id)
    told = json.loads((tmp_path / "compare").read_text())
    runs = [middle.run.path, earlier.run.path, earlier.run.path]
    assert [Path(one["dir"]).parent.parent for one in told["train"]] == runs
    assert last.run is not None
    assert sorted(RunDir(last.run.path).after) == sorted({*runs})


HERE = pytest.mark.parametrize("earlier", ["local"], indirect=True)


@HERE
def test_what_is_not_done_there_is_refused(earlier: Earlier, tmp_path: Path) -> None:
    more = plan(tmp_path)
    more.root = Chain(more.root, Step("report", standing_steps.prepare, ARGS))
    with pytest.raises(RunError, match=r"has not done compare \(not in it\)"):
        submit(more, tmp_path / "runs", "local", only="report", after=earlier.run.path)
    assert not list(tmp_path.rglob("manifest.json"))


def test_an_earlier_run_is_refused_where_nothing_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nothing is left out"):
        submit(plan(tmp_path), tmp_path / "runs", "local", after="20261101")


def test_folders_of_what_was_done_nobody_knows_where_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"'compare': .*is left out"):
        submit(plan(tmp_path), tmp_path / "runs", "local", only="compare")
    assert not list(tmp_path.rglob("manifest.json"))


@HERE
def test_a_run_whose_folders_are_in_use_is_not_deleted(earlier: Earlier, tmp_path: Path) -> None:
    made = Plan("p", Chain(*plan(tmp_path).root.children, Command("hold", "sleep 30", ARGS)))
    executor = submitit.AutoExecutor(folder=tmp_path / "runs", cluster="local")
    parts: dict[str, Any] = {"start_from": "compare", "after": earlier.run.path}
    made.submit(executor, local={"cpus": 8}, **parts)
    assert made.run is not None
    user = RunDir(made.run.path)
    found = removable(earlier.run, registry.of_run(earlier.run))
    with pytest.raises(RunError, match=f"run {user.run_id} uses its folders, and "):
        refuse_used(found, users([user]))
    made.run.cancel()
    until(lambda: made.run is not None and made.run.status().is_final, 30)
    refuse_used(found, users([user]))
