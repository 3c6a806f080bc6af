"""Every kind of function as a step, on every backend."""

from __future__ import annotations

from typing import Any

import pytest

from planit import Parallel, PlanError, Step
from planit.job.call import call_of
from tests.contract.drivers import ARGS, ON_SLURM, Driver
from tests.contract.kinds import FAILED, KINDS, REFUSED


@pytest.fixture(scope="module", params=[ON_SLURM, "local-fork", "debug"])
def ended(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One plan of all kinds side by side, which on Slurm is one array; the jobs by step."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    steps = [Step(name, k.func, ARGS, *k.args, **k.kwargs) for name, k in KINDS.items()]
    steps += [Step(name, func, ARGS, 3) for name, func in FAILED.items()]
    driver = Driver(request.param)
    return driver.jobs(tmp_path_factory.mktemp("kinds"), Parallel(*steps))


@pytest.mark.parametrize("name", KINDS)
def test_a_function_returns_what_it_returns_anywhere(ended: Any, name: str) -> None:
    assert ended[name].result() == KINDS[name].returns


@pytest.mark.parametrize("name", FAILED)
def test_a_result_that_has_not_run_fails_the_step_and_says_so(ended: Any, name: str) -> None:
    error = ended[name].exception()
    assert "has not run: " in str(error)
    assert "generator" in str(error) or "coroutine" in str(error)


@pytest.mark.parametrize("name", REFUSED)
def test_a_function_of_which_a_call_runs_nothing_is_refused(name: str) -> None:
    with pytest.raises(PlanError) as caught:
        call_of(Step("lazy", REFUSED[name], ARGS, *([] if "partial" in name else [3])))
    assert caught.value.message.startswith("step 'lazy': ")
    assert "runs nothing" in caught.value.message
    assert caught.value.hint is not None
