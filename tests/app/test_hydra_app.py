"""An existing Hydra program as a step: `planit.HydraApp`."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from planit import HydraApp, PlanError, Run, SlurmArgs
from planit.job.hydra.instantiate import instantiate
from planit.record import history as histories
from planit.record.run_dir import RunDir
from tests.helpers import (
    ROOT,
    Done,
    all_below,
    end_of,
    planit_here,
    run_planit,
    run_python,
    write,
)

ARGS = "{_target_: planit.SlurmArgs, time: '5', partition: batch}"
ONE = SlurmArgs(time="5", partition="batch")


def project(folder: Path) -> Path:
    """A copy of the ordinary Hydra program, with planit's primary config beside its own."""
    shutil.copytree(ROOT / "tests/project", folder)
    write(folder / "conf/planit.yaml", "defaults: [plan: p, backend: local, _self_]\nlr: 0.3\n")
    return folder


def plan(folder: Path, *, waits: bool = False, **steps: str) -> None:
    """Write a plan of these steps, each in YAML but for its SLURM arguments.

    With `waits` they come after a step that waits for the file "go".
    """
    content = "# @package _global_\nplan:\n  _target_: planit.Plan\n  name: p\n  steps:\n"
    if waits:
        command = "'until test -e go; do sleep 0.05; done'"
        content += (
            f"    gate: {{_target_: planit.Command, command: {command}, slurm_args: {ARGS}}}\n"
        )
    for name, text in steps.items():
        content += f"    {name}: {{_target_: planit.HydraApp, {text}, slurm_args: {ARGS}}}\n"
    root = f"{{_target_: planit.Parallel, _args_: [{', '.join(steps)}]}}"
    if waits:
        root = f"{{_target_: planit.Chain, _args_: [gate, {root}]}}"
    write(folder / "conf/plan/p.yaml", f"{content}  root: {root}\n")


def refused(folder: Path, text: str, *words: str) -> Done:
    """Submit a plan of the step "train", which is refused; nothing is left behind."""
    plan(folder, train=text)
    before = all_below(folder)
    done = run_planit("submit", "backend=local", *words, cwd=folder)
    assert done.code == 2, done
    assert done.out == ""
    assert [name for name in all_below(folder) if "__pycache__" not in name] == before
    return done


def run_of(folder: Path) -> Run:
    return Run.open(base=folder / "planit_runs")


def step_dir(run: Run, name: str) -> Path:
    directory = RunDir(run.path)
    slugs = {leaf.name: leaf.slug for leaf in histories.read(directory).leaves}
    return directory.step_dir(slugs[name])


def config_of(run: Run, name: str, part: str = "config") -> Any:
    text = (step_dir(run, name) / f".hydra/{part}.yaml").read_text()
    return yaml.unsafe_load(text)  # it has paths


def returned(run: Run, name: str) -> Any:
    """What a step returned."""
    return end_of(run.path, name).result


NOTES = """
from hydra.experimental.callback import Callback

class Notes(Callback):
    def __getattribute__(self, name):
        if name.startswith("on_"):
            with open("notes", "a") as file:
                file.write(name + chr(10))
        return super().__getattribute__(name)
"""
NOSY = """
import os, sys, threading
from dataclasses import dataclass
from enum import Enum
import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

class Kind(Enum):
    ONE = 1
    TWO = 2

@dataclass
class Config:
    kind: Kind = Kind.ONE
    twice: int = "${double:2}"
    end: str = ""

ConfigStore.instance().store(name="nosy", node=Config)
OmegaConf.register_new_resolver("double", lambda value: 2 * value)
print("a line of the program")

@hydra.main(version_base="1.3", config_path=None, config_name="nosy")
def main(config):
    if config.end == "raise":
        raise ValueError("the loss is nan")
    if config.end == "exit":
        sys.exit(3)
    inner = hydra.compose("nosy", overrides=["kind=ONE"])
    hydra_config = HydraConfig.get()
    return {
        "kind": config.kind is Kind.TWO,
        "twice": config.twice,
        "inner": inner.kind is Kind.ONE,
        "name": hydra_config.job.name,
        "tasks": list(hydra_config.overrides.task),
        "hydra": [*hydra_config.overrides.hydra, hydra_config.mode.name],
        "dirname": hydra_config.job.override_dirname,
        "cwd": os.getcwd(),
        "output": hydra_config.runtime.output_dir,
        "argv": sys.argv[1:],
        "main": __name__,
    }

if __name__ == "__main__":
    print("as a script")
    main()
    print("after it")
"""


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = project(tmp_path_factory.mktemp("app") / "here")
    write(folder / "tools/nosy.py", NOSY)
    write(folder / "tools/twice.py", NOSY.replace('print("after it")', "main()"))
    write(folder / "notes.py", NOTES)
    package = folder / "lab"
    package.mkdir()
    write(package / "__init__.py", "")
    moved = (folder / "train.py").read_text().replace('config_path="conf"', 'config_path="../conf"')
    write(package / "train.py", f"{moved}\nprint('a line of the program')\n")
    plan(
        folder,
        waits=True,
        wait="app: lab.train.main, overrides: [+experiment=long, epochs=7]",
        train='script: train.py, overrides: [model=cnn, "optimizer.lr=${lr}"]',
        told="script: tools/nosy.py, overrides: [+hydra.callbacks.one._target_=notes.Notes]",
        nosy="script: tools/nosy.py, overrides: [kind=TWO]",
        chdir="script: tools/nosy.py, overrides: [hydra.job.chdir=true]",
        bad="script: tools/nosy.py, overrides: [end=raise]",
        again="script: tools/twice.py",
        left="script: tools/nosy.py, overrides: [end=exit]",
    )
    done = run_planit("submit", "++backend.detach=true", "++backend.cpus=8", "lr=0.2", cwd=folder)
    assert done.code == 0, done
    assert "a line of the program" not in done.out + done.err
    assert not (folder / "notes").exists()
    shutil.rmtree(folder / "conf")
    write(folder / "train.py", "raise SystemError('edited')")
    write(folder / "go", "")
    run = run_of(folder)
    with pytest.raises(Exception, match="3 step"):
        run.wait()
    return folder


def test_what_was_submitted_runs_whatever_is_edited_or_deleted_meanwhile(submitted: Path) -> None:
    run = run_of(submitted)
    states = {step.name: step.state.value for step in run.status().steps}
    assert len(list(run.path.glob("code/*/here/README.md"))) == 1
    assert states == dict.fromkeys(["gate", "wait", "train", "nosy", "chdir", "told"], "DONE") | {
        "bad": "FAILED",
        "again": "FAILED", "left": "FAILED"
    }  # fmt: skip
    config = config_of(run, "train")
    assert (config["model"]["name"], config["optimizer"]["lr"]) == ("cnn", 0.2)
    config = config_of(run, "wait")
    assert (config["epochs"], config["optimizer"]["schedule"]) == (7, "COSINE")


def test_the_output_folder_is_the_steps_with_hydras_files_and_its_log(submitted: Path) -> None:
    run = run_of(submitted)
    place = step_dir(run, "train")
    assert set(all_below(place)) == {
        ".hydra", ".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml",
        "score.json", "train.log",
    }  # fmt: skip
    assert config_of(run, "train", "overrides") == ["model=cnn", "optimizer.lr=0.2"]
    hydra = config_of(run, "train", "hydra")["hydra"]
    assert hydra["runtime"]["output_dir"] == str(place)
    assert hydra["job"]["name"] == "train"
    done = planit_here("logs", "train", cwd=submitted)
    assert re.search(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+\].*\[INFO\] - training cnn", done.out)


def test_the_program_sees_what_it_sees_under_hydra(submitted: Path) -> None:
    run = run_of(submitted)
    assert returned(run, "nosy") == {
        "kind": True,
        "twice": 4,
        "inner": True,
        "name": "nosy",
        "tasks": ["kind=TWO"],
        "hydra": ["hydra.mode=RUN", "RUN"],
        "dirname": "kind=TWO",
        "cwd": str(submitted),
        "output": str(step_dir(run, "nosy")),
        "argv": ["kind=TWO"],
        "main": "__main__",
    }
    log = planit_here("logs", "nosy", cwd=submitted).out
    lines = ["a line of the program", "as a script", "after it"]
    assert [line for line in log.splitlines() if line in lines] == lines


def test_a_program_that_wants_to_is_in_its_output_folder(submitted: Path) -> None:
    run = run_of(submitted)
    assert returned(run, "chdir")["cwd"] == str(step_dir(run, "chdir"))


def test_hydras_callbacks_are_called_in_the_job_and_not_before(submitted: Path) -> None:
    events = ["on_run_start", "on_job_start", "on_job_end", "on_run_end"]
    assert (submitted / "notes").read_text().split() == events


def test_what_the_program_raises_fails_the_step_with_its_traceback(submitted: Path) -> None:
    end = end_of(run_of(submitted).path, "bad")
    assert end.error is not None
    assert (end.error.type, end.error.message) == ("ValueError", "the loss is nan")
    assert len(re.findall("  File ", end.error.traceback)) == 1
    assert "nosy.py" in end.error.traceback


def test_a_second_function_does_not_get_the_firsts_configuration(submitted: Path) -> None:
    end = end_of(run_of(submitted).path, "again")
    assert end.error is not None
    assert "called a second @hydra.main function" in end.error.message


def test_the_exit_code_is_the_programs(submitted: Path) -> None:
    assert end_of(run_of(submitted).path, "left").exit_code == 3


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return project(tmp_path_factory.mktemp("refused") / "here")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("script: train.py, overrides: [optimizer.lrr=1]",
         ["step 'train': Could not override 'optimizer.lrr'.", "+optimizer.lrr=1",
          "Key 'lrr' not in 'Optimizer'"]),
        ("app: train.main, overrides: [epochs=many]",
         ["step 'train': Error merging override epochs=many",
          "Value 'many' of type 'str' could not be converted to Integer"]),
        ("app: train.main, overrides: [model=bart]",
         ["step 'train': In 'config': Could not find 'model/bart'", "bert; cnn"]),
        ("script: train.py, overrides: ['optimizer.lr=1,2']",
         ["step 'train': Ambiguous value for argument 'optimizer.lr=1,2'"]),
        ("script: train.py, overrides: [--config-name=other]",
         ["step 'train': Cannot find primary config 'other'"]),
        ("app: train.mian", ["step 'train': train has no 'mian'"]),
        ("app: trian.main", ["step 'train': app 'trian.main': no module named 'trian'"]),
        ("app: train.loss", ["step 'train': train.loss is not decorated with @hydra.main"]),
        ("script: trian.py",
         ["step 'train': script 'trian.py' is not a file", "did you mean train.py?"]),
        ("script: vision/model.py",
         ["step 'train': vision/model.py did not come to a call of a function"]),
        ("script: broken.py",
         ["broken.py cannot be started: ModuleNotFoundError: No module named 'torhc'",
          "broken.py, line 1)"]),
    ],
)  # fmt: skip
def test_at_submission_with_hydras_words(fresh: Path, text: str, words: list[str]) -> None:
    write(fresh / "broken.py", "import torhc\n")
    done = refused(fresh, text)
    for one in words:
        assert one in done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app: train.main, lr: 0.1", ["plan.steps.train: HydraApp has no 'lr'", "overrides"]),
        ("app: train.main, _args_: [1]", ["HydraApp has no '_args_'"]),
        ("overrides: [a=1]", ["HydraApp has neither app nor script"]),
        ("app: train.main, script: train.py", ["HydraApp has both app and script"]),
        ("app: train.py", ["app 'train.py' is not a dotted path", 'script="train.py"']),
        ("app: train.main, overrides: a=1", ["overrides must be a list of texts, not 'a=1'"]),
        ("app: train.main, overrides: [3]", ["3 is not a text like key=value"]),
        ("app: train.main, overrides: [--multirun]", ["'--multirun' is a flag"]),
        ("app: train.main, overrides: [hydra.run.dir=x]",
         ["'hydra.run.dir=x' would have no effect: its output folder is the step's own"]),
        ("app: train.main, overrides: [hydra/launcher=basic]", ["planit starts the program"]),
        ("app: train.main, overrides: [hydra.mode=MULTIRUN]", ["sweep with planit submit -m"]),
    ],
)  # fmt: skip
def test_when_it_is_described(fresh: Path, text: str, words: list[str]) -> None:
    plan(fresh, train=text)
    done = planit_here("describe", cwd=fresh)
    assert done.code == 2
    for one in ["plan.steps.train: ", *words]:
        assert one in done.err


def test_a_program_that_sweeps_by_itself(fresh: Path) -> None:
    config = (fresh / "conf/config.yaml").read_text()
    sweep = "hydra: {mode: MULTIRUN, sweeper: {params: {epochs: '1,2'}}}\n"
    write(fresh / "conf/sweep.yaml", config + sweep)
    done = refused(fresh, "script: train.py, overrides: [--config-name=sweep]")
    assert "the program's configuration has hydra.mode=MULTIRUN" in done.err
    assert "hydra.mode=RUN" in done.err


def test_describing_starts_nothing(tmp_path: Path) -> None:
    folder = project(tmp_path / "here")
    write(folder / "train.py", "raise SystemError")
    plan(folder, train="script: train.py")
    done = planit_here("describe", cwd=folder)
    assert done.code == 0, done
    assert "└── ● train [5]" in done.out


def test_a_sweep_over_a_program_on_this_machine_and_in_this_process(tmp_path: Path) -> None:
    folder = project(tmp_path / "here")
    text = 'script: train.py, overrides: [model=bert, "optimizer.lr=${lr}", "+experiment=long"]'
    plan(folder, train=text)
    done = run_planit("submit", "-m", "lr=0.1,0.01", "++backend.cpus=2", cwd=folder)
    assert done.code == 0, done
    run = run_of(folder)
    losses = {}
    for number, lr in enumerate((0.1, 0.01)):
        name = f"train[lr={lr}]"
        hydra = config_of(run, name, "hydra")["hydra"]
        assert hydra["overrides"]["task"] == [
            "model=bert",
            f"optimizer.lr={lr}",
            "+experiment=long",
        ]
        assert config_of(run, name)["optimizer"]["lr"] == lr
        assert hydra["job"]["num"] == number
        losses[lr] = returned(run, name)
        assert losses[lr] == json.loads((step_dir(run, name) / "score.json").read_text())["loss"]
    assert losses[0.1] < losses[0.01]
    [stage] = (run.path / "stages").iterdir()
    assert (stage / "calls").read_bytes().count(b"ConfigLoaderImpl") == 1, "pickled twice"
    done = run_planit("submit", "-m", "lr=0.1,0.01", "backend=debug", cwd=folder)
    assert done.code == 0, done
    debug = folder / "planit_runs/p/debug/steps"
    scores = {json.loads(path.read_text())["loss"] for path in debug.glob("*/score.json")}
    assert scores == set(losses.values())


def test_a_script_that_registers_resolvers_runs_twice_in_this_process(tmp_path: Path) -> None:
    folder = project(tmp_path / "here")
    write(folder / "nosy.py", NOSY)
    plan(folder, one="script: nosy.py", two="script: nosy.py, overrides: [kind=TWO]")
    done = run_planit("submit", "backend=debug", cwd=folder)
    assert done.code == 0, done
    assert done.out.count("after it") == 2


def test_a_resume_runs_the_recorded_configuration_with_the_code_of_now(tmp_path: Path) -> None:
    folder = project(tmp_path / "here")
    fixed = (folder / "train.py").read_text()
    write(folder / "train.py", fixed.replace("    model: Any = ", "    1 / 0\n    model: Any = "))
    plan(folder, train="script: train.py, overrides: [epochs=3]", other="app: train.main")
    assert run_planit("submit", cwd=folder).code == 1
    write(folder / "train.py", fixed)
    shutil.rmtree(folder / "conf/model")
    done = run_planit("resume", cwd=folder)
    assert done.code == 0, done
    assert config_of(run_of(folder), "train")["epochs"] == 3
    (folder / "train.py").unlink()
    done = run_planit("resume", "--from", "train", cwd=folder)
    assert done.code == 2
    assert "script 'train.py' is not a file" in done.err
    assert run_planit("resume", "--from", "train", "--frozen-code", cwd=folder).code == 0


def test_frozen_sources_are_what_a_program_imports(tmp_path: Path) -> None:
    folder = project(tmp_path / "here")
    write(
        folder / "tools/nosy.py",
        "import beside\n" + NOSY.replace("__name__,", "[__file__, beside.KNOWN],"),
    )
    write(folder / "tools/beside.py", "KNOWN = 1\n")
    plan(folder, waits=True, train="script: tools/nosy.py")
    done = run_planit("submit", "+freeze=code", "++backend.detach=true", cwd=folder)
    assert done.code == 0, done
    write(folder / "tools/beside.py", "KNOWN = 2\n")
    write(folder / "tools/nosy.py", "1 / 0")
    write(folder / "go", "")
    run = run_of(folder)
    run.wait()
    assert returned(run, "train")["main"] == [str(folder / "tools/nosy.py"), 1]


PYTHON = """
import submitit
from planit import Chain, HydraApp, Plan, SlurmArgs
import train

if __name__ == "__main__":
    args = SlurmArgs(time="5", partition="batch")
    plan = Plan("p", Chain(
        HydraApp("one", train.main, args, ["optimizer.lr=0.3", "model=cnn"]),
        HydraApp(name="two", script="train.py", slurm_args=args, overrides=("epochs=3",)),
    ))
    jobs = plan.submit(submitit.AutoExecutor("logs", cluster="CLUSTER"))
    plan.wait()
    print([job.result() for job in jobs])
"""


@pytest.mark.parametrize("cluster", ["local", "debug"])
def test_from_python(tmp_path: Path, cluster: str) -> None:
    folder = project(tmp_path / "here")
    write(folder / "main.py", PYTHON.replace("CLUSTER", cluster))
    done = run_python("main.py", cwd=folder)
    assert done.code == 0, done
    losses = json.loads(done.out.splitlines()[-1])
    assert losses == pytest.approx([abs(0.3 - 0.1) + 1 / (8 * 20), abs(0.01 - 0.1) + 1 / (64 * 30)])


def test_hydra_can_make_one_too() -> None:
    args = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
    content = {"_target_": "planit.HydraApp", "name": "a", "script": "x.py", "slurm_args": args}
    step = instantiate({**content, "overrides": ["a=1", "b=2"]})
    assert (step.name, step.script, step.overrides) == ("a", "x.py", ("a=1", "b=2"))


def test_only_what_a_job_can_import_is_an_app() -> None:
    def main() -> None: ...

    with pytest.raises(
        PlanError, match=r"step 'a': app .* is not a function that the job can import"
    ):
        HydraApp("a", main, ONE)
    with pytest.raises(PlanError, match="step 'a' has no slurm_args"):
        HydraApp("a", "train.main")
    step = HydraApp("a", "train.main", ONE, ["a=1"])
    assert (step.app, step.script, step.overrides) == ("train.main", None, ("a=1",))
