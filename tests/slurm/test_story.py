"""The whole story at the prompt: a sweep, a table while it runs, a branch fixed, the table whole.

prepare, then train and eval for each of twelve branches over three parameters, then compare and
report: with functions, with a Hydra program as train, and with commands only.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import Run
from tests.cluster.cluster import Cluster
from tests.helpers import Done, run_planit, write
from tests.slurm.tools import until

ARGS = "{_target_: planit.SlurmArgs, time: '5', partition: batch, cpus_per_task: 1}"
PLAN = """\
_target_: planit.Plan
name: story
steps:
  prepare: {{{prepare}, slurm_args: &args {args}}}
  train: {{{train}, slurm_args: *args}}
  eval: {{{eval}, slurm_args: *args}}
  compare: {{{compare}, slurm_args: *args}}
  report: {{{report}, slurm_args: *args}}
root:
  _target_: planit.Chain
  _args_: [prepare, train, eval, compare, report]
"""
STEPS = """\
import json
import time
from pathlib import Path

import planit

BROKEN = True


def fitted(lr, width, seed):
    if BROKEN and (lr, width, seed) == (0.3, 2, 1):
        raise ValueError("broken")
    until = time.monotonic() + 60
    while (lr, width, seed) == (0.1, 1, 0) and not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.1)
    return {"lr": lr, "width": width, "seed": seed}


def prepare():
    (planit.current().dir / "rows.json").write_text("[1, 2, 3]")
    return {"rows": 3}


def train(rows, lr, width, seed):
    assert len(json.loads(Path(rows).read_text())) == 3
    (planit.current().dir / "model.json").write_text(json.dumps(fitted(lr, width, seed)))


def evaluate(model):
    found = json.loads(Path(model).read_text())
    return {"accuracy": round(1 - found["lr"] * found["width"] - found["seed"] / 100, 4)}


def compare():
    here = planit.current()
    best = max(here.parents, key=lambda step: step.result["accuracy"])
    (here.dir / "best.json").write_text(json.dumps(best.values))
    return {"branches": len(here.parents), "best": best.result["accuracy"]}


def report(best):
    return json.loads(Path(best).read_text())
"""
PROGRAM = """\
import json
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig

from story import fitted


@hydra.main(version_base="1.3", config_path="settings", config_name="program")
def main(config):
    assert len(json.loads(Path(config.rows).read_text())) == 3
    folder = Path(HydraConfig.get().runtime.output_dir)
    found = fitted(config.lr, config.width, config.seed)
    (folder / "model.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
"""
COMMANDS = """\
import json
import os
import sys
from pathlib import Path

import story

what, *words = sys.argv[1:]
folder, result = Path(os.environ["PLANIT_STEP_DIR"]), None
if what == "prepare":
    (folder / "rows.json").write_text("[1, 2, 3]")
elif what == "train":
    found = story.fitted(float(words[0]), int(words[1]), int(words[2]))
    (folder / "model.json").write_text(json.dumps(found))
elif what == "eval":
    result = story.evaluate(words[0])
elif what == "compare":
    parents = json.loads(Path(os.environ["PLANIT_PARENTS"]).read_text())
    best = max(parents, key=lambda step: step["result"]["accuracy"])
    (folder / "best.json").write_text(json.dumps(best["values"]))
    result = {"branches": len(parents), "best": best["result"]["accuracy"]}
else:
    result = story.report(words[0])
if result is not None:
    Path(os.environ["PLANIT_RESULT"]).write_text(json.dumps(result))
"""
PARTS = {
    "functions": {
        "prepare": "func: story.prepare",
        "train": "func: story.train, rows: '${dir:prepare}/rows.json',"
        " lr: '${lr}', width: '${width}', seed: '${seed}'",
        "eval": "func: story.evaluate, model: '${dir:train}/model.json'",
        "compare": "func: story.compare",
        "report": "func: story.report, best: '${dir:compare}/best.json'",
    },
}
PARTS["program"] = {
    **PARTS["functions"],
    "train": "_target_: planit.HydraApp, script: train.py, overrides:"
    " ['rows=${dir:prepare}/rows.json', 'lr=${lr}', 'width=${width}', 'seed=${seed}']",
}
PARTS["commands"] = {
    name: f"_target_: planit.Command, command: '{sys.executable} run.py {name}{words}'"
    for name, words in {
        "prepare": "",
        "train": " ${lr} ${width} ${seed}",
        "eval": " ${dir:train}/model.json",
        "compare": "",
        "report": " ${dir:compare}/best.json",
    }.items()
}
SWEEP = ("lr=0.1,0.2,0.3", "width=1,2", "seed=0,1", "sweep.join=[compare,report]")


@dataclass
class Story:
    """What was seen at the prompt.

    Attributes:
        submitted, resumed: the two submissions.
        halfway, failed, whole: the tables while a branch still ran, when all had ended, and at the
            end.
        failures: what ``logs`` says without a step, before the fix.
        last: the results of the last two steps.
        kept, cleaned: what ``clean`` says halfway, and at the end.
        left: whether the run is there after that.
    """

    submitted: Done
    halfway: list[dict[str, str]]
    failed: list[dict[str, str]]
    failures: Done
    resumed: Done
    whole: list[dict[str, str]]
    best: Done
    last: dict[str, Any]
    kept: Done
    cleaned: Done
    left: bool


def told(kind: str, folder: Path) -> Story:
    """Live through the story."""
    write(folder / "conf/planit.yaml", "defaults: [{backend: auto}, {plan: story}, _self_]\n"
          "lr: 0.1\nwidth: 1\nseed: 0\n")  # fmt: skip
    write(folder / "conf/plan/story.yaml", PLAN.format(args=ARGS, **PARTS[kind]))
    write(folder / "story.py", STEPS)
    write(folder / "train.py", PROGRAM)
    write(folder / "run.py", COMMANDS)
    write(folder / "settings/program.yaml", "rows: ???\nlr: 0.1\nwidth: 1\nseed: 0\n")

    def planit(*words: str) -> Done:
        return run_planit(*words, cwd=folder)

    def table(step: str = "") -> list[dict[str, str]]:
        done = planit("results", *([step] if step else []), "--csv")
        return list(csv.DictReader(io.StringIO(done.out)))

    submitted = planit("submit", "-m", *SWEEP)
    assert submitted.code == 0, submitted
    run = Run.open(base=folder / "planit_runs")
    until(lambda: counts(run) == {"DONE": 21, "FAILED": 1, "RUNNING": 1}, 120)
    halfway = table("train")
    kept = planit("clean", run.run_id, "--yes")
    (folder / "go").touch()
    until(lambda: run.status().is_final, 120)
    failed, failures = table("eval"), planit("logs")
    write(folder / "story.py", STEPS.replace("BROKEN = True", "BROKEN = False"))
    resumed = planit("resume")
    until(lambda: run.status().is_final, 120)
    best = planit("results", "--sort", "-accuracy", "--where", "lr=0.1")
    last = {row.step: row.result for step in ("compare", "report") for row in run.results(step)}
    whole, cleaned = table(), planit("clean", run.run_id, "--yes")
    left = run.path.exists()
    return Story(
        submitted, halfway, failed, failures, resumed, whole, best, last, kept, cleaned, left
    )


def counts(run: Run) -> dict[str, int]:
    """How many of the steps that may run are in each state."""
    found = run.status().counts
    return {s.value: n for s, n in found.items() if s.value not in ("PENDING", "BLOCKED")}


@pytest.fixture(scope="module")
def stories(
    slurm: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Story]]]:
    """All at the same time: they wait for Slurm most of it."""
    with ThreadPoolExecutor(len(PARTS)) as pool:
        yield {kind: pool.submit(told, kind, tmp_path_factory.mktemp(kind)) for kind in PARTS}


@pytest.fixture(params=list(PARTS))
def story(request: pytest.FixtureRequest, stories: dict[str, Future[Story]]) -> Story:
    return stories[request.param].result()


def test_the_sweep_costs_as_many_calls_as_a_branch_has_steps(story: Story) -> None:
    assert "27 step(s) as 5 job(s)" in story.submitted.out


def test_the_table_is_there_while_it_runs(story: Story) -> None:
    assert len(story.halfway) == 12
    states = {
        tuple(row[key] for key in ("lr", "width", "seed")): row["state"] for row in story.halfway
    }
    assert states.pop(("0.1", "1", "0")) == "RUNNING"
    assert states.pop(("0.3", "2", "1")) == "FAILED"
    assert set(states.values()) == {"DONE"}


def test_a_failed_branch_is_told_and_the_others_have_their_results(story: Story) -> None:
    assert [row["state"] for row in story.failed].count("DONE") == 11
    assert "train[lr=0.3,width=2,seed=1]" in story.failures.out
    assert "ValueError: broken" in story.failures.out


def test_the_fixed_branch_is_resumed_and_the_table_is_whole(story: Story) -> None:
    assert "4 to rerun, 23 kept, 0 going on" in story.resumed.out
    rows = {(row["lr"], row["width"], row["seed"]): row for row in story.whole}
    assert len(rows) == 12
    for (lr, width, seed), row in rows.items():
        assert row["state"] == "DONE"
        accuracy = 1 - float(lr) * int(width) - int(seed) / 100
        assert float(row["accuracy"]) == pytest.approx(accuracy, abs=1e-4)
        assert float(row["elapsed_s"]) >= 0


def test_the_join_found_all_branches(story: Story) -> None:
    assert story.last["compare"] == {"branches": 12, "best": 0.9}
    assert {key: str(value) for key, value in story.last["report"].items()} == {
        "lr": "0.1",
        "width": "1",
        "seed": "0",
    }


def test_the_best_come_first(story: Story) -> None:
    lines = story.best.out.splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [["0.1", "1", "0"], ["0.1", "1", "1"]]
    assert len(lines) == 2 + 4


def test_a_run_is_deleted_when_nothing_of_it_is_alive(story: Story) -> None:
    assert story.kept.code == 5, story.kept
    assert "cannot be deleted: job " in story.kept.err
    assert story.cleaned.code == 0, story.cleaned
    assert "27 done" in story.cleaned.out
    assert not story.left
