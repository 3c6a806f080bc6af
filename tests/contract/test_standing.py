"""A step knows where it stands, and names the folders of others, on every backend."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import Chain, Command, Step
from planit.graph import Branch, merge
from planit.nodes import Node
from tests.contract import standing_steps
from tests.contract.drivers import ARGS, ON_SLURM, Driver

RATES = (0.1, 0.2, 0.3)
EVAL = """\
set -e
cp "$PLANIT_PARENTS" "{out}/$PLANIT_STEP.parents"
{python} -m planit current --json > "{out}/$PLANIT_STEP.current"
{python} -m planit current > "{out}/$PLANIT_STEP.text"
printf '"%s"' "$(cat {train}/model)" > "$PLANIT_RESULT"
"""


def branch(out: Path, lr: float) -> Node:
    prepare = Step("prepare", standing_steps.prepare, ARGS)
    train = Step("train", standing_steps.train, ARGS, lr, data=prepare.dir / "data")
    command = EVAL.format(out=out, python=sys.executable, train=train.dir)
    compare = Step(
        "compare",
        standing_steps.compare,
        ARGS,
        str(out / "compare"),
        train.dir / "model",
        named={"models": f"{train.dir}/model"},
    )
    return Chain(prepare, train, Command("eval", command, ARGS), compare)


@dataclass(frozen=True)
class Story:
    """What the steps of a run told.

    Attributes:
        out: where.
        states: of the steps at the end.
    """

    out: Path
    states: dict[str, str]

    def told(self, name: str) -> Any:
        return json.loads((self.out / name).read_text())


@pytest.fixture(scope="module", params=[ON_SLURM, "local-fork", "debug"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    folder = tmp_path_factory.mktemp("story")
    (out := folder / "out").mkdir()
    rows = [Branch({"lr": str(lr)}, branch(out, lr)) for lr in RATES]
    return Story(out, Driver(request.param).run(folder / "runs", merge(rows, join=["compare"])))


def test_all_steps_find_the_folders_that_they_name(story: Story) -> None:
    assert set(story.states.values()) == {"DONE"}, story.states
    assert story.told("compare")["models"] == [f"data {lr}" for lr in RATES]
    assert story.told("compare")["named"] == [f"data {lr}" for lr in RATES]


def test_a_join_sees_its_parents_with_their_values_and_results(story: Story) -> None:
    told = story.told("compare")
    assert told["plan"] == "p"
    assert told["name"] == "compare"
    assert told["attempt"] == "1.0"
    assert told["values"] == {}
    assert [one["name"] for one in told["parents"]] == [f"eval[lr={lr}]" for lr in RATES]
    assert [one["values"] for one in told["parents"]] == [{"lr": lr} for lr in RATES]
    assert [one["result"] for one in told["parents"]] == [f"data {lr}" for lr in RATES]
    assert [one["result"] for one in told["train"]] == [{"loss": 2 * lr} for lr in RATES]
    branches = [name for lr in RATES for name in (f"train[lr={lr}]", f"eval[lr={lr}]")]
    assert told["ancestors"] == ["prepare", *branches]


def test_a_command_finds_its_own_branch(story: Story) -> None:
    for lr in RATES:
        told = story.told(f"eval[lr={lr}].current")
        parents = story.told(f"eval[lr={lr}].parents")
        assert told["name"] == f"eval[lr={lr}]"
        assert told["values"] == {"lr": lr}
        assert told["parents"] == parents
        (train,) = parents
        assert train["name"] == f"train[lr={lr}]"
        assert train["values"] == {"lr": lr}
        assert train["result"] == {"loss": 2 * lr}
        assert Path(train["dir"], "model").read_text() == f"data {lr}"
        text = (story.out / f"eval[lr={lr}].text").read_text()
        assert f"parent   train[lr={lr}]  {train['dir']}\n" in text
        assert not Path(told["dir"]).exists(), "the files for a command go with it"
