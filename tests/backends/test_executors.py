"""What planit takes from a user's executor."""

from __future__ import annotations

from pathlib import Path

import pytest
import submitit

from planit import PlanError
from planit.backends import executors


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


def test_a_dependency_that_stands_on_the_executor_is_left_out(
    executor: submitit.SlurmExecutor,
) -> None:
    executor.update_parameters(dependency="afterok:1", array_parallelism=3, job_name="mine")
    assert executors.view(executor).defaults == {}
