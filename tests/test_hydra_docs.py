"""The table of docs/hydra.md: each row is run by Hydra and by planit, and gives the same."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict

from planit.app.config.plans import plan_of
from planit.job.call import calls_of
from planit.job.hydra.instantiate import instantiate
from planit.job.hydra.internals import VERSION_BASE
from planit.nodes import tasks
from tests.app.test_like_instantiate import Training, shape
from tests.helpers import ROOT, Done, run_python, write

PAGE = (ROOT / "docs/hydra.md").read_text()
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \|$", PAGE, re.MULTILINE)
COMMANDS = [row for row in ROWS if not row[0].startswith("{")]
NODES = [row for row in ROWS if row[0].startswith("{")]
CODE = """\
import functools

class Model:
    def __init__(self, *args, **kwargs):
        self.args, self.kwargs = args, kwargs

def fit(*args, **kwargs):
    return args, kwargs

def hydra_job():
    from hydra.core.hydra_config import HydraConfig
    return HydraConfig.get().job.name

def report(lr):
    print("reported", lr)
"""


def test_the_table_has_rows_of_both_kinds() -> None:
    assert len(COMMANDS) >= 8
    assert len(NODES) >= 12


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ordinary Hydra program, with the two files of the page."""
    folder = tmp_path_factory.mktemp("docs") / "project"
    shutil.copytree(ROOT / "tests/project", folder)
    for text in re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        write(folder / text.splitlines()[0].removeprefix("# "), text)
    write(folder / "my_project.py", CODE)
    return folder


def scores(folder: Path, below: str) -> list[Any]:
    """What the runs of the program left below a folder, which is emptied."""
    found = sorted(
        json.dumps(json.loads(p.read_text())) for p in folder.glob(f"{below}/**/score.json")
    )
    shutil.rmtree(folder / below, ignore_errors=True)
    return found


def run(folder: Path, command: str) -> Done:
    words = shlex.split(command)
    if words[0] == "planit":
        words = ["-m", "planit", *words[1:]]
        if "submit" in words:
            words += ["backend=local", "backend.cpus=64", "backend.gpus=8"]
    else:
        words = words[1:]
        if "hydra/launcher=planit" in words:
            words += [f"hydra.launcher.{one}" for one in ("backend=local", "preset=cpu")]
            words += ["hydra.launcher.backend_settings.cpus=16", "hydra.sweep.dir=launched"]
    done = run_python(*words, cwd=folder)
    assert done.code == 0, done
    return done


@pytest.mark.parametrize(("in_hydra", "in_planit"), COMMANDS)
def test_a_command_does_the_same(project: Path, in_hydra: str, in_planit: str) -> None:
    expected = run(project, in_hydra)
    found = scores(project, "multirun") + scores(project, "outputs")
    done = run(project, in_planit)
    if not found:  # it only shows something
        assert expected.out
        assert done.out
        return
    assert scores(project, "planit_runs") + scores(project, "launched") == found


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DictConfig]:
    """A configuration as Hydra composes it, with Hydra's own node in place."""
    folder = tmp_path_factory.mktemp("composed")
    write(folder / "config.yaml", "settings: {a: 1, layers: [1, 2]}\n")
    write(folder / "my_project.py", CODE)
    sys.path.insert(0, str(folder))
    before = HydraConfig.instance().cfg
    with hydra.initialize_config_dir(str(folder), **VERSION_BASE):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", [], hydra.types.RunMode.RUN)
        with open_dict(config):
            training = OmegaConf.structured(Training)
            config.optimizer = training.optimizer
            config.data = {"root": "${training.root}"}
            config.training = training
            config.cpu = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
            config.hydra.job.num = 3
        HydraConfig.instance().set_config(config)
        yield config
    HydraConfig.instance().cfg = before
    sys.path.remove(str(folder))
    sys.modules.pop("my_project", None)


@pytest.mark.parametrize(("in_hydra", "in_planit"), NODES)
def test_a_step_calls_what_hydra_would(
    configuration: DictConfig, in_hydra: str, in_planit: str
) -> None:
    step = yaml.safe_load(in_planit.replace("SLURM", 'slurm_args: "${cpu}"'))
    with open_dict(configuration):
        configuration.node = yaml.safe_load(in_hydra)
        configuration.plan = {"name": "p", "steps": {"s": step}, "root": "s"}
    expected = shape(instantiate(configuration.node))
    ((task, _),) = tasks(plan_of(configuration).root)
    call = calls_of([task])["s"]
    assert shape(call.in_job(*call.args, **call.kwargs)) == expected
