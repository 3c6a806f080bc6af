"""What stands for a step's folder until the plan is submitted."""

from __future__ import annotations

import copy
import pickle

import pytest

from planit import PlanError, Step, Sweep
from planit.nodes.step_folder import StepFolder
from tests.helpers import CPU, nothing, step


def test_paths_below_it_are_joined_by_a_slash() -> None:
    folder = step("train").dir / "a" / "b.pt"
    assert folder == StepFolder("train", "a/b.pt")
    assert repr(folder) == "${dir:train}/a/b.pt"
    assert copy.deepcopy([folder]) == [folder]
    assert len({folder, StepFolder("train", "a/b.pt")}) == 1


def test_an_absolute_path_is_refused() -> None:
    with pytest.raises(PlanError, match=r"\$\{dir:train\} / '/a': the path is absolute"):
        step("train").dir / "/a"


def test_it_cannot_be_changed_or_opened() -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        step("train").dir.below = "x"
    with pytest.raises(TypeError):
        open(step("train").dir)  # type: ignore[call-overload]  # noqa: PTH123, SIM115


def test_it_never_reaches_a_job_unresolved() -> None:
    with pytest.raises(PlanError, match="inside an object, where planit does not replace it"):
        pickle.dumps({step("train").dir})


def test_without_a_name_there_is_no_folder() -> None:
    with pytest.raises(PlanError, match="a step without a name has no dir"):
        _ = Step(func=nothing, slurm_args=CPU).dir
    with pytest.raises(PlanError, match="a sweep without a name has no dir"):
        _ = Sweep(func=nothing, slurm_args=CPU, over={"lr": [1]}).dir
    with pytest.raises(PlanError, match="has the folder of a step in it"):
        step(f"eval {step('train').dir}")
