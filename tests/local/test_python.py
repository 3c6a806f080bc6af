"""A plan made in Python, handed to submitit's local executor: it runs here, in the background."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import pytest
import submitit

from planit import Chain, Parallel, Plan, Run, SlurmArgs, Step, StepsFailedError
from planit.errors import ConfigError, PlanError
from tests.helpers import HERE, all_below, nothing, run_python, write
from tests.local import work

ARGS = SlurmArgs(time="5", partition="batch", cpus_per_task=1)


def executor(folder: Path) -> submitit.AutoExecutor:
    return submitit.AutoExecutor(folder=folder / "logs", cluster="local")


def give_pid(value: int) -> tuple[int, int]:
    return value, os.getpid()


def test_jobs_are_submitits_and_steps_are_processes_of_their_own(tmp_path: Path) -> None:
    root = Chain(Parallel(*(Step(f"s{i}", give_pid, ARGS, i) for i in range(3))))
    plan = Plan("p", root)
    jobs = plan.submit(executor(tmp_path))
    results = [job.result() for job in jobs]
    assert [value for value, _ in results] == [0, 1, 2]
    assert len({pid for _, pid in results} | {os.getpid()}) == 4
    plan.wait()
    assert plan.run is not None
    assert Run.open("p", base=tmp_path / "logs").status().succeeded


def test_a_submission_is_told_once_with_the_next_command(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plan = Plan("p", Chain(Step("a", nothing, ARGS), Step("b", nothing, ARGS)))
    plan.submit(executor(tmp_path))
    assert plan.run is not None
    line = f"Submitted plan p: 2 step(s) as 2 job(s), 1.0 to 1.1, run {plan.run.run_id};"
    line += " next: planit status"
    told = [(one.name, one.levelname, one.getMessage()) for one in caplog.records]
    assert told[0] == ("planit", "INFO", line)
    assert [text.partition(" ")[0] for _, _, text in told[1:]] == ["code:"]
    plan.wait()


def test_a_submission_says_nothing_where_logging_is_not_set_up(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = Plan("p", Step("a", nothing, ARGS))
    plan.submit(executor(tmp_path))
    plan.wait()
    assert capfd.readouterr() == ("", "")


def test_wait_names_what_failed_and_what_never_ran(tmp_path: Path) -> None:
    plan = Plan("p", Chain(Step("bad", work.fail, ARGS), Step("behind", nothing, ARGS)))
    plan.submit(executor(tmp_path))
    with pytest.raises(StepsFailedError, match="bad") as caught:
        plan.wait()
    assert caught.value.blocked == ("behind",)
    assert "ValueError: broken" in caught.value.failures["bad"]


def test_the_executors_parameters_are_defaults(tmp_path: Path) -> None:
    given = executor(tmp_path)
    seen = tmp_path / "seen"
    line = f"echo from setup > {seen}"
    given.update_parameters(timeout_min=7, cpus_per_task=1, mem_gb=1, local_setup=[line])
    plan = Plan("p", Step("s", nothing, {"slurm_time": "3"}))
    plan.submit(given)
    plan.wait()
    assert seen.read_text() == "from setup\n"
    given.update_parameters(gpus_per_node=99)
    before = all_below(tmp_path)
    with pytest.raises(PlanError, match="99 GPUs"):
        plan.submit(given)
    assert all_below(tmp_path) == before


def test_what_does_not_fit_is_refused_unless_the_caller_says_that_it_does(tmp_path: Path) -> None:
    wide = SlurmArgs(time="5", partition="batch", cpus_per_task=999, gpus_per_node=2)
    plan = Plan("p", Step("wide", nothing, wide))
    with pytest.raises(PlanError, match="'wide' asks for 999 CPUs") as caught:
        plan.submit(executor(tmp_path), local={"gpus": 2})
    assert "local={'cpus': 999}" in (caught.value.hint or "")
    with pytest.raises(ConfigError, match="cpu is not a setting of backend=local"):
        plan.submit(executor(tmp_path), local={"cpu": 999})
    with pytest.raises(ConfigError, match="cpus must be a number"):
        plan.submit(executor(tmp_path), local={"cpus": "many"})
    assert all_below(tmp_path / "logs") == []
    plan.submit(executor(tmp_path), local={"cpus": 999, "gpus": 2})
    plan.wait()


def test_other_systems_than_linux_are_refused_with_what_works_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(PlanError, match="on Linux only, not on darwin") as caught:
        Plan("p", Step("s", nothing, ARGS)).submit(executor(tmp_path))
    assert "backend=debug" in (caught.value.hint or "")


SCRIPT = """\
import submitit
from planit import Plan, SlurmArgs, Step

def work():
    import time
    time.sleep(1)
    open("ran", "w").close()

if __name__ == "__main__":
    plan = Plan("p", Step("s", work, SlurmArgs("5", "batch", cpus_per_task=1)))
    plan.submit(submitit.AutoExecutor(folder="logs", cluster="local"))
"""


def test_the_run_goes_on_when_the_script_has_ended(tmp_path: Path) -> None:
    write(tmp_path / "script.py", SCRIPT)
    done = run_python("script.py", cwd=tmp_path, env={"PYTHONPATH": HERE})
    assert done.code == 0, done
    run = Run.open("p", base=tmp_path / "logs")
    assert not (tmp_path / "ran").exists()
    run.wait(max_poll_interval_s=0.2)
    assert (tmp_path / "ran").exists()


def test_more_than_the_executors_limit_of_pickles_is_refused(tmp_path: Path) -> None:
    try:
        limited = submitit.AutoExecutor(tmp_path / "logs", "local", local_max_pickle_size_gb=0.001)
    except TypeError:
        pytest.skip("submitit 1.5.2 has no such limit")
    large = Step("large", nothing, ARGS, b"x" * 2_000_000)
    with pytest.raises(PlanError, match=r"0\.00 GB when pickled, more than .*max_pickle_size_gb"):
        Plan("p", large).submit(limited)
    assert not (tmp_path / "logs").exists() or all_below(tmp_path / "logs") == []
    plan = Plan("p", Step("small", nothing, ARGS))
    plan.submit(limited)
    plan.wait()
