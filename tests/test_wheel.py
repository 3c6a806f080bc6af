"""The built wheel, installed on its own and used from another folder."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests import goldens
from tests.app.test_places import PLAN, PRESET
from tests.helpers import all_below, write
from tests.launcher.programs import project
from tests.wheel import Installed


def test_the_wheel_has_the_package_its_configuration_and_the_plugin(installed: Installed) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        names = set(archive.namelist())
    assert installed.wheel.name.startswith("planit_slurm-")
    for name in (
        "planit/py.typed",
        "planit/conf/planit.yaml",
        "planit/conf/plan/thesis.yaml",
        "planit/conf/slurm/wice_a100.yaml",
        "planit/conf/backend/slurm.yaml",
        "planit/job/worker.py",
        "hydra_plugins/planit/search_path.py",
    ):
        assert name in names
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"planit", "hydra_plugins"}
    assert "hydra_plugins/__init__.py" not in names  # a namespace package, shared with others
    assert not [name for name in names if "__pycache__" in name or "planit/plugins" in name]


def test_the_installed_planit_is_the_wheels(installed: Installed, empty_dir: Path) -> None:
    code = "import planit, hydra_plugins.planit as p; print(planit.__file__); print(p.__file__)"
    done = installed.run("python", "-c", code, cwd=empty_dir)
    assert done.code == 0, done.err
    assert all(line.startswith(str(installed.environment)) for line in done.out.splitlines())
    assert len(done.out.splitlines()) == 2


@pytest.mark.parametrize("words", [["planit"], ["python", "-m", "planit"]])
def test_the_installed_program_describes_the_examples_from_any_folder(
    installed: Installed, empty_dir: Path, words: list[str]
) -> None:
    done = installed.run(*words, "plan=thesis", cwd=empty_dir)
    assert (done.code, done.out, done.err) == (0, goldens.THESIS, "")
    assert all_below(empty_dir) == []


@pytest.mark.parametrize("words", [["planit"], ["python", "-m", "planit"]])
def test_the_installed_program_completes_words(
    installed: Installed, empty_dir: Path, words: list[str]
) -> None:
    done = installed.run(*words, "completion", "bash", cwd=empty_dir)
    assert (done.code, done.err) == (0, "")
    assert "complete -F _planit planit" in done.out
    done = installed.run(*words, "_complete", "fish", "submit", "plan=t", cwd=empty_dir)
    assert (done.code, done.out, done.err) == (0, "plan=thesis\t\n", "")


def test_a_project_with_its_own_conf_and_code_works_with_the_installed_program(
    installed: Installed, empty_dir: Path
) -> None:
    write(Path("conf/plan/mine.yaml"), PLAN)
    write(Path("conf/slurm/big.yaml"), PRESET)
    write(Path("my.py"), "def one(): print('one ran')\ndef two(): print('two ran')\n")
    done = installed.run("planit", "plan=mine", "slurm=big", cwd=empty_dir)
    assert done.code == 0, done.err
    assert "● one [09:00:00]" in done.out
    assert "● two [01:00:00]" in done.out  # planit's own preset cpu, found behind the user's conf/
    done = installed.run("planit", "submit", "plan=mine", "backend=debug", cwd=empty_dir)
    assert done.code == 0, done.err
    assert done.out.index("one ran") < done.out.index("two ran")
    done = installed.run("planit", "plan=thesis", cwd=empty_dir)
    assert done.out == goldens.THESIS


def test_any_hydra_program_finds_the_installed_launcher(
    installed: Installed, empty_dir: Path
) -> None:
    folder = project(empty_dir)
    words = ["hydra/launcher=planit", "hydra.launcher.backend=local", "hydra.launcher.preset=cpu"]
    words += ["hydra.launcher.backend_settings.cpus=8", "optimizer.lr=0.1,0.2"]
    done = installed.run("python", "train.py", "-m", *words, cwd=folder)
    assert done.code == 0, done.err
    assert "train-1" in installed.run("planit", "status", "--all", cwd=folder).out


def test_the_version_of_the_program_is_that_of_the_wheel(
    installed: Installed, empty_dir: Path
) -> None:
    done = installed.run("planit", "--version", cwd=empty_dir)
    assert done.out == f"planit {installed.wheel.name.split('-')[1]}\n"
