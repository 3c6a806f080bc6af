"""The README's own blocks are run, and what they show is what comes out.

The night with a bug needs Slurm: tests/slurm/test_night.py.
"""

from __future__ import annotations

import math
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from planit.app.verbs import VERBS
from planit.status.result_rows import StepResult
from planit.status.states import State
from planit.views.results_table import ResultTable
from tests.cluster.__main__ import main as private_slurm
from tests.helpers import ROOT, planit_here, run_planit, run_python, write
from tests.readme import block_with, blocks, is_as_shown

FUNCTIONS = """\
def note(word):
    with open("order.txt", "a") as file:
        file.write(word + "\\n")

def download_data(): note("download")
def preprocess(): note("preprocess")
def train(model): note("train")
def evaluate(): note("evaluate")
"""
BOTH = ((0, 0.5), (1, 1.5))
BRANCHES = """

def train(lr):
    return 2 * lr

import submitit

cpu = planit.SlurmArgs(time="5", partition="batch")
sweep = planit.Sweep("train", train, cpu, over={"lr": [0.5, 1.5]})
plan = planit.Plan("p", planit.Chain(sweep, planit.Step("compare", compare, cpu)))
plan.submit(submitit.AutoExecutor(folder="logs", cluster="debug"))
plan.wait()
"""
MY_PROJECT = {
    "__init__": "",
    "data": "def prepare(): print('prepared')\n",
    "train": "def main(lr): print('trained with', lr)\n",
    "report": "print('reported')\n",
}
COMMANDS = [command for block in blocks() for command in block.commands]


def words_of(command: str) -> list[str]:
    """The words behind ``planit``, as a shell sees them."""
    words = shlex.split(command, comments=True)
    return words[words.index("planit") + 1 :]


@pytest.fixture
def my_project(empty_dir: Path) -> Path:
    """The project of the section "From Hydra config", in the working directory."""
    block = block_with("# conf/plan/mini.yaml")
    write(Path(block.text.splitlines()[0].removeprefix("# ")), block.text)
    for name, text in MY_PROJECT.items():
        write(Path("my_project") / f"{name}.py", text)
    return empty_dir


def test_the_first_example_shows_the_tree_below_it_and_runs_in_order(empty_dir: Path) -> None:
    example = next(block for block in blocks() if block.language == "python")
    tree = blocks()[blocks().index(example) + 1]
    on_slurm = 'submitit.AutoExecutor(folder="slurm_logs")'
    assert on_slurm in example.text
    here = 'submitit.AutoExecutor(folder="slurm_logs", cluster="debug")'
    script = f"{FUNCTIONS}\n{example.text.replace(on_slurm, here)}\nplan.wait()\n"
    write(empty_dir / "example.py", script)
    done = run_python("example.py", cwd=empty_dir)
    assert (done.code, done.out, done.err) == (0, "", tree.text)
    order = (empty_dir / "order.txt").read_text().split()
    assert order == ["download", "preprocess", "train", "train", "evaluate"]


def test_the_step_that_knows_where_it_stands_prints_its_branches(empty_dir: Path) -> None:
    block = block_with("planit.current()")
    write(empty_dir / "example.py", f"{block.text}{BRANCHES}")
    done = run_python("example.py", cwd=empty_dir)
    folder = empty_dir / "logs/debug/steps"
    assert (done.code, done.out.splitlines()) == (
        0,
        [f"train[lr={lr}] {folder}/train-00{i} {{'lr': {lr}}} {2 * lr}" for i, lr in BOTH],
    ), done


def test_the_plan_in_yaml_runs(my_project: Path) -> None:
    done = run_planit(
        "submit", "plan=mini", "backend=debug", cwd=my_project, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.code == 0, done
    written = re.findall("^(?:prepared|trained|reported).*", done.out, re.MULTILINE)
    assert written == ["prepared", "trained with 3e-05", "reported"]


def test_the_plan_with_a_hydra_program_runs(tmp_path: Path) -> None:
    block = block_with("# conf/plan/app.yaml")
    shutil.copytree(ROOT / "tests/project", tmp_path, dirs_exist_ok=True)
    write(tmp_path / block.text.splitlines()[0].removeprefix("# "), block.text)
    defaults = "defaults: [slurm: cpu, plan: app, _self_]"
    write(tmp_path / "conf/planit.yaml", f"{defaults}\nlr: 0.1\nbackend: {{name: debug}}\n")
    done = run_planit("submit", cwd=tmp_path)
    assert done.code == 0, done
    assert "training bert for 200 steps" in done.out


def test_the_primary_config_shows_its_plan(my_project: Path) -> None:
    write(Path("conf/planit.yaml"), block_with("# conf/planit.yaml").text)
    write(Path("my_project/conf.py"), "")
    done = run_planit("--cfg", "job", "--resolve", cwd=my_project)
    assert done.code == 0, done
    done = run_planit(cwd=my_project)
    assert done.out.startswith("Plan: mini\n"), done


@pytest.mark.parametrize("command", COMMANDS)
def test_its_verbs_are_those_that_there_are(command: str) -> None:
    first = words_of(command)[0]
    assert first in VERBS or re.match(r"-m$|\w+=", first)


@pytest.mark.parametrize(
    "command",
    [one for one in COMMANDS if "plan=" in one and "optuna" not in one and "--after" not in one],
)
def test_a_command_about_a_plan_describes_one(command: str, my_project: Path) -> None:
    done = planit_here(*(word for word in words_of(command) if word != "submit"))
    assert done.code == 0, done.err
    assert done.out.startswith("Plan: ")


def test_a_sweep_looks_as_shown() -> None:
    ((command, shown),) = block_with("$ planit -m").shown
    assert is_as_shown(planit_here(*words_of(f"$ {command}")).out, shown)
    assert not is_as_shown(planit_here("plan=thesis").out, shown)


def test_results_look_as_shown() -> None:
    ((_, shown),) = block_with("$ planit results").shown
    rows = [
        StepResult("a", {"lr": 0.001, "model": "roberta"}, State.DONE, scores(0.9021, 0.35), 782),
        StepResult("b", {"lr": 0.001, "model": "bert"}, State.DONE, scores(0.9134, 0.31), 760),
        StepResult("c", {"lr": 0.01, "model": "roberta"}, State.RUNNING, None, 465),
        StepResult("d", {"lr": 0.01, "model": "bert"}, State.DONE, scores(0.5, math.nan), 131),
    ]
    head, _, table = shown.partition("\n")
    assert ResultTable.of(rows).sorted(["-accuracy"]).text() == table.rstrip("\n")
    assert head.endswith("of plan thesis, step eval: 3 done, 1 running")


def scores(accuracy: float, loss: float) -> dict[str, Any]:
    return {"accuracy": accuracy, "loss": {"val": loss}}


def test_the_scripts_that_it_names_are_there() -> None:
    named = {
        line.split()[0]
        for block in blocks()
        if block.language == "bash"
        for line in block.text.splitlines()
        if line.startswith("scripts/")
    }
    assert named == {"scripts/demo", "scripts/test"}
    for name in named:
        assert (ROOT / name).stat().st_mode & 0o111


def test_the_commands_of_the_private_slurm_are_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = block_with("python -m tests.cluster").text
    named = re.findall(r"^python -m tests\.cluster (\w+)", text, re.MULTILINE)
    assert named
    for name in named:
        with pytest.raises(SystemExit) as ended:
            private_slurm([name, "--help"])
        assert ended.value.code == 0
    assert "usage: " in capsys.readouterr().out


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_the_files_that_a_document_names_are_there(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    named = re.findall(r"`((?:planit|tests|scripts|benchmarks|examples)/[\w/.]*)`", text)
    assert named
    exact = [path for path in named if "NAME" not in path]
    assert [path for path in exact if not (ROOT / path).exists()] == []
