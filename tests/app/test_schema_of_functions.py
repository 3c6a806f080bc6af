"""``planit schema plan=...``: the schema knows the parameters of the plan's functions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_schema import errors
from tests.helpers import ROOT, planit_here, run_planit, write

CODE = '''\
from __future__ import annotations
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from collections.abc import Sequence

if TYPE_CHECKING:
    from nowhere import Absent

open("imported.txt", "w").close()

def fit(lr: float, epochs: int = 3, model: Literal["bert", "cnn"] = "bert",
        data: Path | None = None, layers: Sequence[int] = (), fast: bool = False, extra=None,
        options: dict[str, Any] | None = None, *, seed: int | str = 0):
    """Fit a model.

    Args:
        lr: the learning rate,
            of Adam.
        epochs (int): how often the data are seen.
    """

def anything(first, **more: int): ...

def absent(what: Absent, size: int): ...

class Model:
    def __init__(self, width: int, depth: int = 2): ...

def decorated(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)
    return call

@decorated
def scored(name: str, step: str): ...
'''
PLAN = """\
_target_: planit.Plan
name: mine
steps:
  fit: {func: work.fit, slurm_args: cpu, lr: 0.1}
  anything: {func: work.anything, slurm_args: cpu, first: 1, any: 2}
  absent: {_target_: work.absent, slurm_args: cpu, what: 1, size: 2}
  model: {func: work.Model, slurm_args: cpu, width: 8}
  scored: {func: work.scored, slurm_args: cpu, step: x, kwargs: {name: y}}
  shell: {_target_: planit.Command, command: ls, slurm_args: cpu}
root:
  _target_: planit.Chain
  _args_:
    - {_target_: planit.Parallel, _args_: [fit, anything, absent, model, scored, shell]}
    - {_target_: planit.Sweep, name: swept, func: work.fit, slurm_args: cpu, over: {lr: [1, 2]}}
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write(folder / "work.py", CODE)
    write(folder / "conf/plan/mine.yaml", PLAN)
    write(folder / "conf/slurm/big.yaml", '{time: "10", partition: big}')
    write(folder / "conf/slurm/site/huge.yaml", '{time: "10", partition: huge}')
    gone = "{name: gone, root: a, steps: {a: {func: not_there.f, slurm_args: cpu, x: 1}}}"
    write(folder / "conf/plan/gone.yaml", gone)
    return folder


@pytest.fixture(scope="module")
def schema(project: Path) -> Any:
    done = run_planit("schema", "plan=mine", cwd=project)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_the_plan_itself_is_accepted(schema: Any) -> None:
    assert errors(PLAN, schema) == []


RIGHT = [
    "epochs: '${epochs}'", "lr: '${lr}'", "lr: 1e-3", "lr: 3", "model: cnn", "model: '${which}'",
    "data: '${dir:model}/x'", "data: null", "layers: [1, 2]", "layers: '${layers}'",
    "layers: ['${a}']", "fast: true", "fast: '${fast}'", "extra: {a: [1]}", "options: {a: 1}",
    "options: null", "seed: x", "seed: 3", "lr: {_target_: m.rate, base: 1}",
    "model: {_target_: m.f}", "_convert_: all", "slurm: {time: '10'}", "kwargs: {epochs: 3}",
    "epochs: '???'",
]  # fmt: skip


@pytest.mark.parametrize("given", RIGHT)
def test_an_argument_of_its_type_an_interpolation_or_a_target_is_accepted(
    schema: Any, given: str
) -> None:
    key = given.partition(":")[0]
    lr = "" if key == "lr" else ", lr: 1"
    assert errors(fit(f"{given}{lr}"), schema) == []


WRONG = [
    ("lr: fast", "lr", "a number, or an interpolation"),
    ("lr: 1, epoch: 3", "", "'epoch' was unexpected"),
    ("lr: 1, epochs: 2.5", "epochs", "2.5 is not of type 'integer'"),
    ("lr: 1, epochs: null", "epochs", "None is not of type 'integer'"),
    ("lr: 1, model: gpt", "model", "is not valid"),
    ("lr: 1, layers: 3", "layers", "3 is not of type 'array'"),
    ("lr: 1, layers: [x]", "layers.0", "a whole number, or an interpolation"),
    ("lr: 1, data: 3", "data", "3 is not of type 'string', 'null'"),
    ("lr: 1, fast: maybe", "fast", "true or false, or an interpolation"),
    ("lr: 1, seed: 1.5", "seed", "1.5 is not of type 'integer', 'string'"),
    ("lr: {base: 1}", "lr", "'_target_' is a required property"),
    ("epochs: 3", "", "'lr' is a required property"),
    ("lr: 1, kwargs: {epoch: 3}", "kwargs", "'epoch' was unexpected"),
]


def fit(arguments: str) -> str:
    step = f"{{func: work.fit, slurm_args: cpu, {arguments}}}"
    return PLAN.replace("{func: work.fit, slurm_args: cpu, lr: 0.1}", step)


@pytest.mark.parametrize(("arguments", "place", "says"), WRONG)
def test_a_wrong_argument_is_found_at_its_place(
    schema: Any, arguments: str, place: str, says: str
) -> None:
    found = errors(fit(arguments), schema)
    assert {where for where, _ in found} == {f"steps.fit.{place}".rstrip(".")}, found
    assert any(says in said for _, said in found), found


@pytest.mark.parametrize(
    ("before", "after", "place"),
    [
        ("width: 8", "width: wide", "steps.model.width"),
        ("width: 8", "height: 8", "steps.model"),
        ("step: x", "stop: x", "steps.scored"),
        ("size: 2", "size: two", "steps.absent.size"),
        ("what: 1", "what: anything", ""),  # its type is only there for type checkers
        ("size: 2", "sizes: 2", "steps.absent"),
        ("first: 1", "second: 1", "steps.anything"),
        ("over: {lr", "over: {rate", "root._args_.1.over"),
        ("over: {lr: [1, 2]}", "over: {lr: [1]}, epochs: x", "root._args_.1.epochs"),
    ],
)
def test_functions_of_every_kind_are_known(
    schema: Any, before: str, after: str, place: str
) -> None:
    found = errors(PLAN.replace(before, after), schema)
    assert {where for where, _ in found} == ({place} if place else set()), found


def test_what_slurm_defaults_set_need_not_be_set_by_a_step(schema: Any, tmp_path: Path) -> None:
    text = "{name: mine, root: a, steps: {a: {func: os.getcwd, slurm_args: {time: '10'}}}}"
    assert [where for where, _ in errors(text, schema)] == ["steps.a.slurm_args"]
    write(tmp_path / "conf/plan/mine.yaml", text)
    write(tmp_path / "conf/planit.yaml", "slurm_defaults: {partition: batch}")
    assert planit_here("plan=mine", cwd=tmp_path).code == 0
    done = planit_here("schema", "plan=mine", cwd=tmp_path)
    assert errors(text, json.loads(done.out)) == []


def test_a_step_that_is_added_with_the_same_function_is_checked_too(schema: Any) -> None:
    text = PLAN.replace("steps:\n", "steps:\n  new: {func: work.fit, slurm_args: cpu, rl: 1}\n")
    assert {where for where, _ in errors(text, schema)} == {"steps.new"}


def test_a_plan_that_builds_on_this_one_is_checked_by_the_names_of_its_steps(schema: Any) -> None:
    text = "{defaults: [mine, _self_], steps: {fit: {epochs: 4}, model: {depth: deep}, x: {y: 1}}}"
    assert [where for where, _ in errors(text, schema)] == ["steps.model.depth"]


def test_an_editor_shows_types_defaults_and_what_the_docstring_says(schema: Any) -> None:
    parameters = schema["definitions"]["call.work.fit"]["properties"]
    assert parameters["lr"]["description"] == "lr: float: the learning rate, of Adam."
    assert parameters["epochs"]["description"] == "epochs: int: how often the data are seen."
    assert parameters["epochs"]["default"] == 3
    assert parameters["seed"]["description"] == "seed: int | str"
    definitions = schema["definitions"]
    presets = definitions["slurm_args_of_step"]["examples"]
    assert {"${slurm}", "big", "site/huge", "cpu"} <= set(presets)
    assert definitions["node"]["examples"][:2] == ["fit", "anything"]


def test_a_function_that_cannot_be_imported_is_told_and_not_checked(project: Path) -> None:
    done = run_planit("schema", "-m", "plan=gone,mine", cwd=project)
    assert done.code == 0
    assert done.err == (
        "planit: not_there.f: its parameters are not checked: no module named 'not_there' for"
        " not_there.f\n"
    )
    definitions = json.loads(done.out)["definitions"]
    assert "call.work.fit" in definitions
    assert "call.not_there.f" not in definitions


def test_without_a_plan_nothing_is_imported_and_no_project_needed(tmp_path: Path) -> None:
    write(tmp_path / "work.py", CODE)
    write(tmp_path / "conf/plan/mine.yaml", PLAN)
    assert planit_here("schema", cwd=tmp_path).code == 0
    assert not (tmp_path / "imported.txt").exists()


def test_help_says_how_an_editor_uses_it() -> None:
    done = planit_here("schema", "--help")
    assert "# yaml-language-server: $schema=" in done.out
    assert '"yaml.schemas"' in done.out
    assert done.code == 0


def test_the_line_for_the_editor_stands_below_hydras_own(tmp_path: Path) -> None:
    """Hydra stops looking for ``# @package`` at the first other comment."""
    said = planit_here("schema", "--help").out
    (line,) = [line.strip() for line in said.splitlines() if "yaml-language-server:" in line]
    text = "rate: 1\nplan: {name: mine, root: a, steps: {a: {func: m.f, slurm_args: cpu}}}\n"
    write(tmp_path / "conf/plan/mine.yaml", f"# @package _global_\n{line}\n{text}")
    assert "Plan: mine" in planit_here("plan=mine", cwd=tmp_path).out
    write(tmp_path / "conf/plan/mine.yaml", f"{line}\n# @package _global_\n{text}")
    assert planit_here("plan=mine", cwd=tmp_path).code == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("plan=mien", "unknown plan 'mien'"),
        ("plan=mine --from fit", "planit schema takes no --from"),
        ("plan=mine --nope", "unrecognized arguments: --nope"),
        ("mine", "mine"),
    ],
)
def test_what_it_does_not_take_is_refused(project: Path, words: str, says: str) -> None:
    done = planit_here("schema", *words.split(), cwd=project)
    assert (done.code, done.out) == (2, "")
    assert says in done.err.splitlines()[0]


def test_the_project_of_another_program_gets_its_schema(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "tests/project", folder)
    write(
        folder / "conf/planit.yaml",
        "defaults: [slurm: gpu_a100, slurm@cpu: cpu, backend: auto, plan: study, _self_]\n",
    )
    text = """\
        # @package plan
        name: study
        steps:
          train: {_target_: planit.HydraApp, script: train.py, overrides: [model=cnn],
                  slurm_args: "${slurm}"}
          count: {_target_: vision.model.Model, name: small, width: 8, slurm_args: "${cpu}",
                  kwargs: {name: small}}
        root: {_target_: planit.Chain, _args_: [train, count]}
        """
    write(folder / "conf/plan/study.yaml", text)
    done = run_planit("schema", "plan=study", cwd=folder)
    assert (done.code, done.err) == (0, "")
    schema = json.loads(done.out)
    assert errors(text, schema) == []
    (found,) = errors(text.replace("width: 8", "width: wide"), schema)
    assert found[0] == "steps.count.width"
