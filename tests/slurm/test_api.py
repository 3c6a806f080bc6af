"""What `Plan.submit` returns, what it takes from the executor, and what kinds of steps do."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import submitit

from planit import Chain, Command, Parallel, Plan, Run, SlurmArgs, Step
from planit.errors import StepsFailedError
from tests.cluster import Cluster
from tests.helpers import end_of
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    in_queue,
    lines,
    note,
    of_run,
    planit,
    settled,
    slurm_says,
    states,
    submit,
    until,
)

pytestmark = pytest.mark.slurm
BETA = SlurmArgs("5", "batch", cluster="beta")
ALPHA = SlurmArgs("5", "batch", cluster="alpha")


@dataclass
class Submitted:
    """Two plans, submitted from Python and ended, and what Slurm had of them."""

    executor: submitit.AutoExecutor
    before: dict[str, Any]
    base: Path
    plan: Plan
    jobs: list[Any]
    far: Any
    queued: str


@pytest.fixture(scope="module")
def submitted(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Submitted:
    base = tmp_path_factory.mktemp("api")
    executor = submitit.AutoExecutor(folder=base / "logs")
    executor.update_parameters(slurm_partition="gpu_a100", slurm_comment="mine", timeout_min=7)
    before = copy.deepcopy(executor.parameters)
    bare = {"slurm_time": "5"}
    plan = Plan(
        "api",
        Chain(
            Parallel(*(Step(f"t{i}", steps.note, bare, str(base / "ran"), i) for i in range(3))),
            Step("bad", steps.fail, ARGS, "quite broken"),
            note("behind", base / "ran"),
        ),
    )
    jobs = plan.submit(executor)
    far = Plan("far", Step("far", steps.note, BETA, str(base / "ran"), "beta")).submit(executor)[0]
    until(lambda: all(job.done() for job in [*jobs, far]))
    queued = slurm_says("squeue", "-h", "-t", "all", "-j", jobs[0].job_id, "-o", "%P %l %k")
    return Submitted(executor, before, base, plan, jobs, far, queued)


def test_a_submission_changes_nothing_of_the_executor(submitted: Submitted) -> None:
    assert submitted.executor.parameters == submitted.before


def test_what_the_executor_sets_holds_for_steps_that_do_not_set_it(submitted: Submitted) -> None:
    assert submitted.queued.startswith("gpu_a100 5:00 mine planit:")


def test_returned_jobs_are_submitit_jobs_with_results(submitted: Submitted) -> None:
    assert all(isinstance(job, submitit.SlurmJob) for job in submitted.jobs)
    assert [job.result() for job in submitted.jobs[:3]] == [0, 1, 2]
    assert [job.job_id.partition("_")[2] for job in submitted.jobs[:3]] == ["0", "1", "2"]


def test_a_failed_steps_job_has_its_exception_and_a_blocked_ones_is_cancelled(
    submitted: Submitted,
) -> None:
    _, _, _, bad, behind = submitted.jobs
    with pytest.raises(submitit.core.utils.FailedJobError, match="quite broken"):
        bad.result()
    assert bad.exception() is not None
    assert behind.state.startswith("CANCELLED")


def test_a_job_on_another_cluster_has_its_state_result_and_files(submitted: Submitted) -> None:
    far = submitted.far
    assert far.result() == "beta"
    until(lambda: far.state == "COMPLETED")
    assert far.paths.stdout.read_text() == "noted beta\n" == far.stdout() == far.stderr()
    assert far.paths.submission_file.is_file()
    assert far.paths.submitted_pickle.is_file()
    assert far.submission().result is not None


def test_a_job_on_another_cluster_can_be_cancelled(slurm: Cluster, tmp_path: Path) -> None:
    executor = submitit.AutoExecutor(folder=tmp_path / "logs")
    (stop,) = Plan("far", Step("stop", steps.gate, BETA, str(tmp_path / "x"))).submit(executor)
    until(lambda: slurm_says("squeue", "-h", "-M", "beta", "-t", "R", "-j", stop.job_id))
    stop.cancel()
    until(lambda: not slurm_says("squeue", "-h", "-M", "beta", "-t", "R", "-j", stop.job_id))


def test_the_first_steps_wait_for_the_executors_dependency_and_arrays_have_its_limit(
    slurm: Cluster, tmp_path: Path
) -> None:
    held = ["sbatch", "--parsable", "--hold", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 1"]
    before = slurm_says(*held)
    executor = submitit.AutoExecutor(folder=tmp_path / "logs/%j")
    executor.update_parameters(
        slurm_dependency=f"afterok:{before}", slurm_array_parallelism=2, name="mine"
    )
    ran = tmp_path / "ran"
    plan = Plan("p", Chain(Parallel(*(note(f"t{i}", ran) for i in range(3))), note("last", ran)))
    plan.submit(executor)
    assert plan.run is not None
    assert plan.run.path.parents[1] == tmp_path / "logs"
    shown = slurm_says("scontrol", "show", "job", of_run(plan.run, "t0").partition("_")[0])
    assert f"Dependency=afterok:{before}" in shown
    assert "ArrayTaskThrottle=2" in shown
    assert "JobName=mine" in shown
    slurm_says("scontrol", "release", before)
    assert set(settled(plan.run).values()) == {"DONE"}
    assert lines(ran)[-1] == "last"
    job = of_run(plan.run, "t0")
    assert slurm_says("squeue", "-h", "-t", "all", "-j", job, "-o", "%j") == "mine"


def test_a_dependency_that_fails_ends_the_first_steps_and_a_resume_can_drop_it(
    slurm: Cluster, tmp_path: Path
) -> None:
    words = ["sbatch", "--parsable", "-t", "5", "-o", "/dev/null", "--wrap", "sleep 1; false"]
    fails = slurm_says(*words)
    ran = tmp_path / "ran"
    run = submit(tmp_path, Chain(note("a", ran), note("b", ran)), dependency=f"afterok:{fails}")
    assert settled(run) == {"a": "CANCELLED", "b": "BLOCKED"}
    assert Run(run.path).backend.settings()["dependency"] == f"afterok:{fails}"
    assert planit(tmp_path, "resume", "backend.dependency=null").code == 0
    assert set(settled(run).values()) == {"DONE"}


def test_waiting_for_a_plan_raises_what_failed_and_what_was_blocked(submitted: Submitted) -> None:
    plan = submitted.plan
    assert plan.run is not None
    assert plan.run.path.parent == submitted.base / "logs" / "api"
    with pytest.raises(StepsFailedError) as failed:
        plan.wait()
    assert set(failed.value.failures) == {"bad"}
    assert "raise ValueError(text)" in failed.value.failures["bad"]
    assert failed.value.blocked == ("behind",)


SEVERAL: dict[str, Any] = {
    "nodes": SlurmArgs("5", "batch", nodes=2),
    "tasks": SlurmArgs("5", "batch", additional_params={"ntasks": 2}),
    "per_node": {
        "slurm_time": "5",
        "slurm_partition": "batch",
        "slurm_additional_parameters": {"ntasks-per-node": "2"},
    },
}


@pytest.fixture(scope="module")
def kinds(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An ended run of commands, of steps with setup and teardown lines, and of several tasks."""
    base = tmp_path_factory.mktemp("kinds")
    seen, ran = base / "seen", base / "ran"
    setup = SlurmArgs("5", "batch", setup=["export FROM_SETUP=yes", f"echo $PLANIT_STEP >> {ran}"])
    broken = SlurmArgs("5", "batch", setup=["false", "echo not here"])
    left = SlurmArgs("5", "batch", setup=["exit 0"])
    masked = {"slurm_time": "5", "slurm_partition": "batch", "slurm_teardown": ["true", "exit 0"]}
    text = f"echo $WHO in $PWD >> {ran}; exit 7"
    root = Parallel(
        Chain(Command("text", text, ARGS, cwd=base, env={"WHO": "me"}), note("after", ran)),
        Command("words", ["touch", str(base / "two words; $HOME")], ARGS),
        Command("missing", ["no-such-program"], ARGS),
        Chain(Step("environment", steps.environment, setup, str(seen)), note("after2", ran)),
        Chain(note("broken", ran, broken), note("after3", ran)),
        Chain(note("left", ran, left), note("after4", ran)),
        Chain(Step("masked", steps.fail, masked), note("after5", ran)),
        *(Step(name, steps.environment, args, str(base / name)) for name, args in SEVERAL.items()),
        Step("one_bad", _rank_one_fails, SlurmArgs("5", "batch", nodes=2)),
    )
    before = os.umask(0o077)
    try:
        run = submit(base, root)
    finally:
        os.umask(before)
    settled(run)
    return run


def test_no_setup_or_teardown_line_hides_a_failure(kinds: Run) -> None:
    found = states(kinds)
    failed = {"text", "missing", "broken", "left", "masked", "one_bad"}
    assert {name for name, state in found.items() if state == "FAILED"} == failed
    blocked = {name for name, state in found.items() if state == "BLOCKED"}
    assert blocked == {"after", "after3", "after4", "after5"}


def test_each_kind_of_failure_has_its_cause(kinds: Run) -> None:
    causes = {step.name: str(step.cause) for step in kinds.status().steps}
    assert causes["text"].startswith("exit code 7 of: ")
    assert causes["missing"].startswith("exit code 127: [Errno 2] ")
    assert causes["broken"] == "setup line 1: false: exit code 1"
    assert "rank one" in causes["one_bad"]
    shown = planit(kinds.path.parents[1], "logs", "broken").out
    assert "planit: setup line 1: false: exit code 1" in shown


def test_a_command_has_its_words_folder_environment_and_exit_code(kinds: Run) -> None:
    base = kinds.path.parents[1]
    assert (base / "two words; $HOME").exists()
    assert sorted(lines(base / "ran")) == ["after2", "environment", f"me in {base}"]
    exits = slurm_says("sacct", "-XnP", "-j", of_run(kinds, "text"), "-o", "ExitCode")
    assert exits == "7:0"


def test_a_step_finds_its_run_its_setup_lines_and_the_submitters_umask(kinds: Run) -> None:
    seen = lines(kinds.path.parents[1] / "seen")
    values = dict(line.split("=", 1) for line in seen)
    assert values["PLANIT_RUN_DIR"] == str(kinds.path)
    assert values["PLANIT_STEP"] == "environment"
    assert values["PLANIT_STEP_DIR"] == str(kinds.path / "steps" / "environment")
    assert values["FROM_SETUP"] == "yes"
    assert values["umask"] == "077"


@pytest.mark.parametrize("name", SEVERAL)
def test_a_step_of_several_tasks_runs_in_each(kinds: Run, name: str) -> None:
    seen = lines(kinds.path.parents[1] / name)
    ranks = [line for line in seen if line.startswith("SLURM_PROCID")]
    assert sorted(ranks) == ["SLURM_PROCID=0", "SLURM_PROCID=1"]
    end = end_of(kinds.path, name)
    assert (end.outcome, end.ranks) == ("succeeded", 2)


def _rank_one_fails() -> None:
    if os.environ["SLURM_PROCID"] == "1":
        raise ValueError("rank one")


def test_without_the_flag_blocked_steps_are_told_apart_and_cleared(
    slurm: Cluster, tmp_path: Path
) -> None:
    bad, ran = tmp_path / "bad", tmp_path / "ran"
    bad.touch()
    root = Chain(
        Step("a", steps.note_unless, ARGS, str(bad), str(ran), "a"), note("b", ran), note("c", ran)
    )
    run = submit(tmp_path, root, kill_on_invalid_dep=False)
    assert settled(run) == {"a": "FAILED", "b": "BLOCKED", "c": "BLOCKED"}
    until(lambda: "PENDING" in " ".join(in_queue(run)))
    assert planit(tmp_path, "wait").code == 1
    assert "Cancelled 2 step(s)" in planit(tmp_path, "cancel").out
    until(lambda: not in_queue(run))
    assert planit(tmp_path, "cancel").out.startswith("Nothing to cancel")
    bad.unlink()
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    run.resume(start_from=["b"])
    assert set(settled(run).values()) == {"DONE"}
    assert lines(ran) == ["a", "b", "c", "b", "c"]


def test_two_clusters_with_the_same_ids(slurm: Cluster, tmp_path: Path) -> None:
    go = str(tmp_path / "go")
    sbatch = ("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true")
    first = int(slurm_says(*sbatch))

    def on_beta(*options: str) -> int:
        return int(slurm_says(*sbatch, "-M", "beta", *options).partition(";")[0])

    while (gap := first - on_beta()) > 0:  # until both clusters hand out the same number next
        count = min(900, gap - 2)
        if count > 0:  # a held array has one id; each task that is changed on its own takes one
            array = on_beta("-H", "--array", f"0-{count}")
            tasks = f"JobId={array}_[0-{count - 1}]"
            slurm_says("scontrol", "-M", "beta", "update", tasks, "Nice=1")
            slurm_says("scancel", "-M", "beta", str(array))
    root = Parallel(
        Chain(
            Step("here", steps.gate, ALPHA, go, str(tmp_path / "h")),
            note("h2", tmp_path / "r", ALPHA),
        ),
        Chain(Step("there", steps.fail, BETA, "on beta"), note("t2", tmp_path / "r", BETA)),
        Step("stays", steps.gate, BETA, go, str(tmp_path / "s")),
    )
    run = submit(tmp_path, Parallel(*root.children))
    until(lambda: lines(tmp_path / "h") and lines(tmp_path / "s"))
    until(lambda: states(run)["there"] == "FAILED")
    found = {step.name: step for step in run.status().steps}
    assert found["here"].state == found["stays"].state == "RUNNING"
    assert (found["here"].cluster, found["there"].cluster) == ("alpha", "beta")
    assert found["t2"].state == "BLOCKED"
    assert f"job {found['there'].job} on beta" in planit(tmp_path, "status").out
    assert "on beta" in planit(tmp_path, "logs").out
    done = planit(tmp_path, "cancel", "stays")
    assert done.out == f"Cancelled 1 step(s) of run {run.run_id}: stays\n"
    until(lambda: states(run)["stays"] == "CANCELLED")
    assert states(run)["here"] == "RUNNING"
    (tmp_path / "go").touch()
    until(lambda: states(run)["h2"] == "DONE")
    assert Run(run.path).status().is_final
