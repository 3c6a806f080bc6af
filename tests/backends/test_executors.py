"""What planit takes from a user's executor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import Chain, PlanError, PlanitError, SlurmArgs
from planit.backends import executors, registry
from planit.nodes.resources import KNOWN_OPTIONS, PLANITS
from tests.helpers import step


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> submitit.SlurmExecutor:
    """A Slurm executor, which submitit makes only where there is an srun."""
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent))
    return submitit.SlurmExecutor(folder=tmp_path / "logs")


def test_parameters_of_the_executor_are_defaults_and_copies(
    executor: submitit.SlurmExecutor,
) -> None:
    more = {"constraint": "a100"}
    executor.update_parameters(partition="x", time=5, additional_parameters=more)
    seen = executors.view(executor)
    assert (seen.kind, seen.folder) == ("slurm", executor.folder)
    assert seen.defaults == {"partition": "x", "time": 5, "additional_parameters": more}
    seen.defaults["additional_parameters"]["constraint"] = "other"
    assert executor.parameters["additional_parameters"] == {"constraint": "a100"}


@pytest.mark.parametrize("flag", ["dependency", "array", "hold", "depend"])
def test_an_executor_cannot_break_the_order_of_a_plan(
    executor: submitit.SlurmExecutor, flag: str
) -> None:
    executor.update_parameters(additional_parameters={flag: "x"})
    with pytest.raises(PlanError, match=f"slurm_additional_parameters: '{flag}'"):
        executors.view(executor)


def test_what_is_set_on_the_executor_is_taken_as_submitit_takes_it(
    executor: submitit.SlurmExecutor,
) -> None:
    with pytest.warns(UserWarning, match="num_gpus"):
        executor.update_parameters(num_gpus=2)
    executor.parameters |= {"dependency": "afterok:1", "array_parallelism": 3, "job_name": "mine"}
    executor.parameters |= {"signal_delay_s": 30, "stderr_to_stdout": True}
    seen = executors.view(executor)
    assert seen.settings["dependency"] == "afterok:1"
    assert seen.defaults == {
        "array_parallelism": 3,
        "job_name": "mine",
        "gpus_per_node": 2,
        "signal_delay_s": 30,
        "stderr_to_stdout": True,
    }


def test_every_parameter_of_submitit_is_honoured_or_refused(
    executor: submitit.SlurmExecutor,
) -> None:
    """Fails first when submitit gets a new one."""
    own = {"dependency", "num_gpus"}  # see above
    theirs = executor._valid_parameters() - own  # noqa: SLF001
    assert theirs <= KNOWN_OPTIONS
    assert KNOWN_OPTIONS - theirs - PLANITS <= {
        "max_requeues",
        "teardown",
    }  # new in 1.5.3: teardown


@pytest.mark.parametrize(
    ("parameters", "says"),
    [
        ({"stderr_to_stdout": False}, "the executor's stderr_to_stdout: False"),
        ({"array_parallelism": 0}, "the executor's array_parallelism must be a whole number"),
        ({"dependency": "after lunch"}, "dependency 'after lunch' is not one of sbatch's"),
    ],
)
def test_what_cannot_be_honoured_is_refused(
    executor: submitit.SlurmExecutor, parameters: dict[str, Any], says: str
) -> None:
    executor.update_parameters(**parameters)
    with pytest.raises(PlanitError, match=says):
        registry.create("slurm", executors.view(executor).settings)


def test_the_gpus_of_the_local_executor_are_chosen_by_the_environment(tmp_path: Path) -> None:
    executor = submitit.LocalExecutor(tmp_path)
    executor.update_parameters(visible_gpus=(2, 3))
    with pytest.raises(PlanError, match="visible_gpus") as refused:
        executors.view(executor)
    assert "CUDA_VISIBLE_DEVICES=2,3" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("given", "folder"), [("logs/%j", "logs"), ("a/logs_%A/%a", "a"), ("100%/logs", "100%/logs")]
)
def test_of_a_folder_by_job_the_part_before_that_is_taken(
    tmp_path: Path, given: str, folder: str
) -> None:
    for cluster in ("local", "debug"):
        seen = executors.view(submitit.AutoExecutor(tmp_path / given, cluster=cluster))
        assert seen.folder == tmp_path / folder


def test_what_every_step_sets_itself_is_told_to_have_no_effect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    own = SlurmArgs("5", "batch", additional_params={"qos": "x"})
    both = Chain(step("a", own), step("b", SlurmArgs("5", "batch", nodes=2)))
    defaults = {"time": 60, "nodes": 1, "additional_parameters": {"partition": "x", "qos": "y"}}
    executors.tell_overruled(defaults, both)
    assert [record.getMessage() for record in caplog.records] == [
        "planit: set on the executor without effect, as every step sets its own: partition, time"
    ]


def test_parameters_of_the_debug_executor_mean_nothing_as_in_submitit(tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(tmp_path, cluster="debug")
    executor.update_parameters(stderr_to_stdout=False, timeout_min=5)
    assert executors.view(executor).defaults == {}


def test_what_a_step_leaves_open_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    executors.tell_overruled({"nodes": 2, "setup": ["a"]}, step("a"))
    assert not caplog.records
