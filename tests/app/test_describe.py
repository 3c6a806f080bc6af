"""``python -m planit``: describing, and the words that need no plan."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests import goldens
from tests.helpers import all_below, run_planit, run_python


@pytest.mark.parametrize(
    ("words", "golden"),
    [
        (["plan=thesis"], goldens.THESIS),
        (["describe", "plan=experiment"], goldens.EXPERIMENT),
        (["plan=experiment", "action=describe"], goldens.EXPERIMENT),
    ],
)
def test_describe_shows_the_tree_byte_for_byte_and_leaves_nothing_behind(
    empty_dir: Path, words: list[str], golden: str
) -> None:
    done = run_planit(*words, cwd=empty_dir)
    assert (done.code, done.out, done.err) == (0, golden, "")
    assert all_below(empty_dir) == []


def test_describe_imports_neither_submitit_nor_the_functions_of_the_plan(empty_dir: Path) -> None:
    code = (
        "import sys; from planit.app.main import main; code = main(['plan=thesis']);"
        "heavy = {'submitit', 'cloudpickle', 'examples', 'numpy', 'sklearn'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else code)"
    )
    done = run_python("-c", code, cwd=empty_dir)
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("line", ["--help", "-h", "help", "submit --help", "plan=thesis -h"])
def test_help_names_the_verbs_and_where_things_come_from(empty_dir: Path, line: str) -> None:
    done = run_planit(*line.split(), cwd=empty_dir)
    assert (done.code, done.err) == (0, "")
    for words in (
        "planit plan=thesis",
        "submit",
        "describe",
        "--config-dir",
        "backend=local",
        "exit",
    ):
        assert words in done.out


def test_without_arguments_the_help_is_shown_and_the_code_is_not_zero(empty_dir: Path) -> None:
    done = run_planit(cwd=empty_dir)
    assert done.code == 2
    assert "usage: planit" in done.out


@pytest.mark.parametrize("line", ["--version", "-V", "submit plan=x --version"])
def test_the_version_is_the_installed_one(empty_dir: Path, line: str) -> None:
    done = run_planit(*line.split(), cwd=empty_dir)
    assert (done.code, done.out) == (0, f"planit {version('planit-slurm')}\n")


def test_help_and_version_do_not_load_hydra(empty_dir: Path) -> None:
    code = (
        "import sys; from planit.app.main import main; main(['--help']); main(['--version']);"
        "sys.exit(1 if {'hydra', 'omegaconf', 'submitit'} & set(sys.modules) else 0)"
    )
    assert run_python("-c", code, cwd=empty_dir).code == 0


def test_the_composed_configuration_can_be_shown(empty_dir: Path) -> None:
    done = run_planit("plan=experiment", "slurm.time=3:00:00", "--cfg", "job", cwd=empty_dir)
    assert (done.code, done.err) == (0, "")
    assert "time: 3:00:00\n" in done.out.replace("'", "")
    assert "name: experiment" in done.out
    assert all_below(empty_dir) == []


def test_the_reader_of_the_output_may_leave_early(empty_dir: Path) -> None:
    code = "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1], shell=True).returncode)"
    done = run_python("-c", code, "python -m planit --help | head -1", cwd=empty_dir)
    assert done.out == "planit: write the plan once, queue all of it or none.\n"
    assert "Traceback" not in done.err


def test_the_example_runs_to_its_end_in_this_process(empty_dir: Path) -> None:
    done = run_planit(
        "submit",
        "plan=experiment",
        "backend=debug",
        cwd=empty_dir,
        env={"PLANIT_EXAMPLE_DIR": "made"},
    )
    assert done.code == 0, done.err
    assert "All 5 step(s) of plan experiment succeeded" in done.out
    best = (empty_dir / "made" / "experiment" / "best.json").read_text()
    assert '"accuracy": 0.9' in best or '"accuracy": 0.8' in best
