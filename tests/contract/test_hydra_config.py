"""`HydraConfig.get()` and ``${hydra:...}`` of a step are those of its own branch, everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planit import Run
from tests.helpers import run_planit, run_python, write
from tests.slurm.tools import settled
from tests.sweepers import halving

CODE = """\
import json
import os
from pathlib import Path

def note(name, **told):
    from hydra.core.hydra_config import HydraConfig

    hydra = HydraConfig.get()
    told = {key: str(value) for key, value in told.items()}
    found = {
        "told": told,
        "override_dirname": hydra.job.override_dirname,
        "tasks": list(hydra.overrides.task),
        "id": hydra.job.id,
        "output_dir": hydra.runtime.output_dir,
        "step_dir": os.environ["PLANIT_STEP_DIR"],
        "size": hydra.runtime.choices["size"],
        "job": os.environ.get("PLANIT_JOB") or os.environ.get("SLURM_JOB_ID"),
    }
    if "num" in hydra.job and name != "prepare":
        found |= {"num": hydra.job.num, "subdir": hydra.sweep.subdir}
        name = f"{name}-{hydra.job.num}"
    Path(f"{name}.json").write_text(json.dumps(found))
"""
PLAN = """\
# @package _global_
lr: 0.1
plan:
  name: p
  vars: &args {time: "5", partition: batch, cpus_per_task: 1}
  steps:
    prepare: {func: my.note, slurm_args: *args, kwargs: {name: prepare}}
    train:
      func: my.note
      slurm_args: *args
      kwargs: {name: train}
      number: ${hydra:job.num}
      dirname: ${hydra:job.override_dirname}
      size: ${hydra:runtime.choices.size}
      out: ${hydra:runtime.output_dir}/model
      subdir: ${hydra:sweep.subdir}
      lr: ${lr}
    command:
      _target_: planit.Command
      slurm_args: *args
      command: "echo '${hydra:job.num} ${hydra:runtime.output_dir}' >command-${hydra:job.num}"
  root: {_target_: planit.Chain, _args_: [prepare, train, command]}
"""
PROGRAM = """\
import hydra
import submitit
from my import note
from planit import Plan, SlurmArgs, Step

@hydra.main(version_base=None, config_path="conf", config_name="mine")
def main(config):
    step = Step("mine", note, SlurmArgs(time="5", partition="batch", cpus_per_task=1), "mine")
    plan = Plan("mine", step)
    plan.submit(submitit.AutoExecutor("runs", cluster=config.cluster))
    plan.wait()

main()
"""
BACKENDS = ["debug", "local", pytest.param("slurm", marks=pytest.mark.slurm)]


def made(folder: Path) -> Path:
    """A project with a plan."""
    write(folder / "my.py", CODE)
    write(folder / "conf/plan/p.yaml", PLAN)
    defaults = "defaults: [{slurm: cpu}, {backend: auto}, {size: large}, {plan: p}, _self_]\n"
    write(folder / "conf/config.yaml", defaults)
    for size in ("small", "large"):
        write(folder / f"conf/size/{size}.yaml", f"name: {size}\n")
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return made(tmp_path)


@pytest.fixture(scope="module", params=BACKENDS)
def noted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a project in which four branches have run."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    folder = made(tmp_path_factory.mktemp("project"))
    words = ("submit", "-m", "size=small,large", "lr=1,2", f"backend={request.param}")
    done = run_planit(*words, cwd=folder)
    assert done.code == 0, done
    if request.param == "slurm":
        states = settled(Run.open(base=folder / "planit_runs"))
        assert set(states.values()) == {"DONE"}
    return folder


def branches(folder: Path) -> Mapping[int, dict[str, Any]]:
    """What the train step of each branch found, by ``hydra.job.num``."""
    found = [json.loads(path.read_text()) for path in folder.glob("train-*.json")]
    return {int(one["num"]): one for one in found}


def test_each_branch_has_its_own_number_and_overrides(noted: Path) -> None:
    found = branches(noted)
    assert sorted(found) == [0, 1, 2, 3]
    for number, (size, lr) in enumerate([("small", 1), ("small", 2), ("large", 1), ("large", 2)]):
        one = found[number]
        assert (one["size"], one["told"]["lr"]) == (size, str(lr))
        assert {f"size={size}", f"lr={lr}"} < set(one["tasks"])
        assert f",lr={lr},size={size}" in one["override_dirname"]
        assert one["subdir"] == str(number)


def test_interpolations_of_a_step_give_the_same(noted: Path) -> None:
    for number, one in branches(noted).items():
        assert one["told"] == {
            "number": str(number),
            "dirname": one["override_dirname"],
            "size": one["size"],
            "out": f"{one['output_dir']}/model",
            "subdir": str(number),
            "lr": one["told"]["lr"],
        }


def test_the_output_folder_is_the_steps_and_the_id_the_jobs(noted: Path) -> None:
    found = branches(noted)
    assert all(one["output_dir"] == one["step_dir"] for one in found.values())
    assert len({one["output_dir"] for one in found.values()}) == 4
    if all(one["job"] for one in found.values()):  # the debug backend has no jobs
        assert len({one["id"] for one in found.values()}) == 4


def test_a_step_that_branches_share_has_the_configuration_without_their_values(
    noted: Path,
) -> None:
    found = json.loads((noted / "prepare.json").read_text())
    assert {"size=small,large", "lr=1,2"} < set(found["tasks"])
    assert found["output_dir"] == found["step_dir"]


def test_a_command_has_what_only_its_job_knows(noted: Path) -> None:
    for number in range(4):
        text = (noted / f"command-{number}").read_text()
        assert text.startswith(f"{number} /")
        assert text.strip().endswith(f"command-00{number}")


def test_another_sweepers_branches_are_numbered_throughout(project: Path) -> None:
    write(project / "hydra_plugins/halving.py", halving("lr", [0, 1], [2, 3]))
    words = ("hydra/sweeper=halving", "hydra/launcher=planit", "backend=debug")
    done = run_planit("submit", "-m", *words, cwd=project)
    assert done.code == 0, done
    found = branches(project)
    assert [found[number]["told"]["lr"] for number in range(4)] == ["0", "1", "2", "3"]
    assert [found[number]["told"]["number"] for number in range(4)] == ["0", "1", "2", "3"]
    assert all(f"lr={number}" in found[number]["tasks"] for number in range(4))


@pytest.mark.parametrize("cluster", ["debug", "local"])
def test_steps_that_a_hydra_program_submits_have_its_configuration(
    project: Path, cluster: str
) -> None:
    write(project / "program.py", PROGRAM)
    write(project / "conf/mine.yaml", "defaults: [{size: small}]\ncluster: ???\n")
    done = run_python("program.py", f"cluster={cluster}", cwd=project)
    assert done.code == 0, done
    found = json.loads((project / "mine.json").read_text())
    assert found["tasks"] == [f"cluster={cluster}"]
    assert found["size"] == "small"
    assert found["output_dir"] == found["step_dir"]
