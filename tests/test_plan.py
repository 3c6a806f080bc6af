"""`Plan`: describing through the logger or standard output, and the specification's examples."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import Chain, MailType, Parallel, Plan, PlanError, SlurmArgs, Step
from tests import goldens, spec_examples
from tests.helpers import CPU, GPU, all_below, nothing, run_python, write
from tests.spec_plans import experiment, thesis

FUNCTIONS = """\
from pathlib import Path

def note(word):
    with open("order.txt", "a") as file:
        file.write(word + "\\n")

def download_data(): note("download")
def preprocess(): note("preprocess")
def train(model): note("train")
def evaluate(): note("evaluate")
"""


def quick_start() -> str:
    """The specification's first example, run in this process for want of a cluster."""
    on_slurm = 'submitit.AutoExecutor(folder="slurm_logs")'
    assert on_slurm in spec_examples.QUICK_START
    here = 'submitit.AutoExecutor(folder="slurm_logs", cluster="debug")'
    return f"{FUNCTIONS}\n{spec_examples.QUICK_START.replace(on_slurm, here)}\nplan.wait()\n"


def test_the_quick_start_logs_its_tree_once_and_runs_in_order(empty_dir: Path) -> None:
    script = write(empty_dir / "quick_start.py", quick_start())
    done = run_python(str(script), cwd=empty_dir)
    assert (done.code, done.out) == (0, "")
    assert done.err == goldens.EXPERIMENT
    order = (empty_dir / "order.txt").read_text().split()
    assert order == ["download", "preprocess", "train", "train", "evaluate"]


def test_without_logging_the_quick_start_prints_its_tree_once(empty_dir: Path) -> None:
    lines = quick_start().splitlines()
    silent = [line for line in lines if not line.startswith("logging.basicConfig")]
    assert len(silent) == len(lines) - 1
    script = write(empty_dir / "quick_start.py", "\n".join(silent))
    done = run_python(str(script), cwd=empty_dir)
    assert (done.code, done.out, done.err) == (0, goldens.EXPERIMENT, "")


@pytest.mark.parametrize(
    ("plan", "golden"),
    [(experiment(CPU, GPU), goldens.EXPERIMENT), (thesis(CPU, GPU), goldens.THESIS)],
    ids=["experiment", "thesis"],
)
def test_describe_goes_to_the_planit_logger_where_that_shows_it(
    plan: Plan,
    golden: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with caplog.at_level(logging.INFO, logger="planit"):
        plan.describe()
    assert [(r.name, r.levelname, r.getMessage() + "\n") for r in caplog.records] == [
        ("planit", "INFO", golden)
    ]
    assert capsys.readouterr().out == ""


def test_describe_prints_where_logging_shows_warnings_only(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.WARNING):
        thesis(CPU, GPU).describe()
    assert caplog.records == []
    assert capsys.readouterr().out == goldens.THESIS


def names_of_the_examples() -> dict[str, Any]:
    work = ("setup_fn work_a prep_b work_b combine_results train_fn").split()
    more = ("download preprocess train search evaluate plot").split()
    return {
        **dict.fromkeys([*work, *more], nothing),
        "CPU": CPU,
        "GPU": GPU,
        "Chain": Chain,
        "Parallel": Parallel,
        "Plan": Plan,
        "Step": Step,
        "submitit": submitit,
    }


def test_the_example_of_nested_nodes_is_a_tree_of_five_steps() -> None:
    tree = eval(spec_examples.NODES, names_of_the_examples())
    assert repr(tree) == (
        "Chain(Step('setup'), Parallel(Step('branch_a'), Chain(Step('branch_b_prep'),"
        " Step('branch_b_run'))), Step('aggregate'))"
    )
    assert tree.children[1].children[0].args == ("config_a",)
    assert tree.children[1].children[1].children[0].kwargs == {"option": 1}


def test_the_thesis_as_the_specification_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    plan = eval(spec_examples.THESIS, names_of_the_examples())
    plan.describe()
    assert capsys.readouterr().out == goldens.THESIS


def test_the_example_of_slurm_args_has_every_value_that_it_gives() -> None:
    names: dict[str, Any] = {}
    exec(spec_examples.SLURM_ARGS, names)
    args = names["args"]
    assert isinstance(args, SlurmArgs)
    assert args.mail_type == [MailType.BEGIN, MailType.END, MailType.FAIL]
    assert args.resources.cluster == "wice"
    assert args.resources.options["mail_type"] == "BEGIN,END,FAIL"


def test_the_example_of_a_raw_dict_makes_a_step_of_two_hours() -> None:
    names = names_of_the_examples()
    exec(spec_examples.RAW_DICT, names)
    made = Step("train", nothing, names["args"])
    assert made.resources.time_text == "02:00:00"
    assert made.resources.cluster == "my-cluster"
    assert set(names["args"]) == {
        "slurm_time",
        "slurm_partition",
        "gpus_per_node",
        "slurm_additional_parameters",
    }


def test_the_example_of_debugging_locally_runs_the_plan(empty_dir: Path) -> None:
    seen: list[str] = []
    plan = Plan("p", Chain(Step("a", seen.append, CPU, "a"), Step("b", seen.append, CPU, "b")))
    exec(spec_examples.DEBUGGING, {"submitit": submitit, "plan": plan})
    assert seen == ["a", "b"]


def test_describe_writes_nothing(empty_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thesis(CPU, GPU).describe()
    assert capsys.readouterr().out
    assert all_below(empty_dir) == []


def test_wait_before_submit_says_what_to_do() -> None:
    with pytest.raises(PlanError, match="was not submitted") as caught:
        thesis(CPU, GPU).wait()
    assert caught.value.hint == "call submit first"


def test_importing_planit_and_building_a_plan_loads_neither_hydra_nor_submitit(
    tmp_path: Path,
) -> None:
    code = """
import sys
from planit import Chain, Command, Parallel, Plan, SlurmArgs, Step
cpu = SlurmArgs("1:00:00", "batch")
Plan("p", Chain(Step("a", "x.y", cpu), Parallel(Command("b", "true", cpu)))).describe()
heavy = {"hydra", "omegaconf", "submitit", "cloudpickle", "yaml", "numpy"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


def test_every_public_name_is_there() -> None:
    import planit

    assert [name for name in planit.__all__ if not hasattr(planit, name)] == []
    for name in ("Chain", "Command", "MailType", "Parallel", "Plan", "SlurmArgs", "Step"):
        assert name in planit.__all__


def test_a_plan_error_is_a_value_error_and_shows_its_hint() -> None:
    with pytest.raises(ValueError, match=r"is not a dotted path \(write it as ") as caught:
        Step("a", "train", CPU)
    assert isinstance(caught.value, PlanError)
