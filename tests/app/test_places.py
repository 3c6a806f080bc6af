"""Where configuration is found: the user's conf/ first, planit's own groups behind it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from planit import ConfigError
from planit.app.config.places import conf_dir, primary
from tests import goldens
from tests.app.test_overrides import steps_for, times
from tests.helpers import HERE, ROOT, all_below, run_planit, write

PLAN = """\
_target_: planit.Plan
name: mine
steps:
  one: {func: my.one, slurm_args: "${slurm}"}
  two: {func: my.two, slurm_args: "${cpu}"}
root: {_target_: planit.Chain, _args_: [one, two]}
"""
PRESET = '_target_: planit.SlurmArgs\ntime: "09:00:00"\npartition: mine\n'
PRIMARY = """\
defaults:
  - slurm: big
  - slurm@cpu: cpu
  - backend: slurm
  - plan: mine
  - _self_
"""
UNRELATED = "model: {layers: 3}\nlr: 0.1\n"


def project(folder: Path) -> Path:
    """A user's project: a plan, a preset of a new name, and one that hides planit's own."""
    write(folder / "plan" / "mine.yaml", PLAN)
    write(folder / "slurm" / "big.yaml", PRESET)
    write(folder / "slurm" / "cpu.yaml", PRESET.replace("09", "07"))
    return folder


def test_the_users_conf_is_found_first_and_planits_groups_stay_available(empty_dir: Path) -> None:
    project(Path("conf"))
    assert times(steps_for("plan=mine")) == {"one": "02:00:00", "two": "07:00:00"}
    assert times(steps_for("plan=mine", "slurm=big")) == {"one": "09:00:00", "two": "07:00:00"}
    assert times(steps_for("plan=experiment"))["download"] == "07:00:00"


def test_the_users_primary_config_is_used_where_there_is_one(empty_dir: Path) -> None:
    write(project(Path("conf")) / "config.yaml", PRIMARY)
    assert times(steps_for()) == {"one": "09:00:00", "two": "07:00:00"}


@pytest.mark.parametrize(
    "words",
    [
        ["--config-dir", "my settings", "plan=mine"],
        ["plan=mine", "--config-dir=my settings"],
        ["describe", "plan=mine", "-cd", "my settings"],
    ],
)
def test_config_dir_names_another_folder_before_or_after_the_overrides(
    empty_dir: Path, words: list[str]
) -> None:
    project(empty_dir / "my settings")
    done = run_planit(*words, cwd=empty_dir)
    assert (done.code, done.err) == (0, "")
    assert "● two [07:00:00]" in done.out


def test_config_dir_wins_over_conf_in_the_working_directory(empty_dir: Path) -> None:
    project(Path("conf"))
    write(Path("other/plan/mine.yaml"), PLAN.replace("two", "second"))
    assert list(steps_for("plan=mine", config_dir="other")) == ["one", "second"]


def test_planit_yaml_works_beside_an_unrelated_config(empty_dir: Path) -> None:
    write(Path("conf/config.yaml"), UNRELATED)
    write(project(Path("conf")) / "planit.yaml", PRIMARY)
    assert times(steps_for()) == {"one": "09:00:00", "two": "07:00:00"}


def test_a_folder_without_conf_falls_back_to_planits_own(empty_dir: Path) -> None:
    assert primary(None) == (conf_dir(), "planit")
    assert conf_dir() == ROOT / "conf"


def test_a_config_dir_that_does_not_exist_is_refused(empty_dir: Path) -> None:
    with pytest.raises(ConfigError, match="--config-dir nowhere: no such folder"):
        primary("nowhere")


def test_another_hydra_app_of_the_environment_is_left_alone(empty_dir: Path) -> None:
    write(
        empty_dir / "app.py",
        "import hydra\n"
        '@hydra.main(version_base="1.3", config_path=None)\n'
        "def main(config):\n"
        "    from hydra.core.hydra_config import HydraConfig\n"
        "    print([s.provider for s in HydraConfig.get().runtime.config_sources])\n"
        "main()\n",
    )
    done = subprocess.run(
        [sys.executable, "app.py", "hydra.run.dir=.", "hydra.output_subdir=null"],
        env={**os.environ, "PYTHONPATH": HERE},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "planit" not in done.stdout


def test_a_plan_of_a_project_runs_functions_of_that_project(empty_dir: Path) -> None:
    project(Path("conf"))
    write(Path("my.py"), "def one(): print('one ran')\ndef two(): print('two ran')\n")
    before = all_below(empty_dir)
    done = run_planit("plan=mine", cwd=empty_dir)
    assert (done.code, all_below(empty_dir)) == (0, before)
    done = run_planit("submit", "plan=mine", "backend=debug", cwd=empty_dir)
    assert done.code == 0, done.err
    assert done.out.index("one ran") < done.out.index("two ran")


def test_the_golden_trees_come_from_the_example_plans(empty_dir: Path) -> None:
    done = run_planit("--config-dir", str(conf_dir()), "plan=thesis", cwd=empty_dir)
    assert done.out == goldens.THESIS
