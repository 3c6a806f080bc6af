"""Resume: what is submitted again, on what it waits, and with which resources."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run, SlurmArgs, Step
from planit.errors import PlanError, RunError
from tests.cluster import Cluster
from tests.helpers import files_of
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    Script,
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
    wrapped,
)

pytestmark = pytest.mark.slurm


def test_three_failed_tasks_of_fifty_are_resumed_with_their_tails_only(
    slurm: Cluster, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.touch()
    failing = {7, 8, 30}
    ran = tmp_path / "ran"
    branches = [
        Chain(
            Step(
                f"train_{i}",
                steps.note_unless,
                ARGS,
                str(bad if i in failing else tmp_path / "never"),
                str(ran),
                f"train_{i}",
            ),
            note(f"test_{i}", ran),
        )
        for i in range(50)
    ]
    run = submit(tmp_path, Chain(Parallel(*branches), note("join", ran)))
    found = settled(run, 90)
    assert {name for name, state in found.items() if state == "FAILED"} == {
        f"train_{i}" for i in failing
    }
    assert {name for name, state in found.items() if state == "BLOCKED"} == {
        "join",
        *(f"test_{i}" for i in failing),
    }
    shown = planit(tmp_path, "status")
    assert "train: 47 done, 3 failed" in shown.out
    bad.unlink()
    with wrapped(tmp_path / "bin", ["sbatch"]) as calls:
        done = planit(tmp_path, "resume")
    assert done.out.endswith("7 to rerun, 94 kept, 0 going on\n")
    assert len(lines(calls)) == 3
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(ran)) == sorted(states(run))  # each exactly once


def test_resume_while_siblings_run_waits_for_live_jobs_only(slurm: Cluster, tmp_path: Path) -> None:
    bad, ran = tmp_path / "bad", tmp_path / "ran"
    bad.touch()
    other = SlurmArgs("6", "batch", cpus_per_task=1)
    root = Chain(
        note("first", ran),
        Parallel(
            Step("slow", steps.gate, ARGS, str(tmp_path / "go"), str(tmp_path / "begun")),
            Step("quick", steps.note_unless, other, str(bad), str(ran), "quick"),
        ),
        note("join", ran),
    )
    run = submit(tmp_path, root)
    until(lambda: states(run) == {"first": "DONE", "slow": "RUNNING", "quick": "FAILED",
                                  "join": "BLOCKED"})  # fmt: skip
    dry = planit(tmp_path, "resume", "--dry-run")
    words = [line.split()[:3] for line in dry.out.splitlines()[:4]]
    assert words == [
        ["keep", "first", "done"],
        ["wait", "slow", "running"],
        ["rerun", "quick", "failed:"],
        ["rerun", "join", "blocked"],
    ]
    with pytest.raises(RunError, match="'slow' is running"):
        run.resume(start_from=["first"])
    bad.unlink()
    run.resume()
    waits_for = slurm_says("squeue", "-h", "-j", of_run(run, "join"), "-o", "%E")
    assert set(re.findall(r"\d+", waits_for.replace("(unfulfilled)", ""))) >= {of_run(run, "slow")}
    assert not any(job in waits_for for job in (of_run(run, "first") + "(",))
    until(lambda: states(run)["quick"] == "DONE")
    assert states(run)["join"] == "PENDING"
    (tmp_path / "go").touch()
    assert set(settled(run).values()) == {"DONE"}
    assert lines(ran) == ["first", "quick", "join"]
    assert lines(tmp_path / "begun") == ["begun"]


def test_from_and_only_rerun_what_was_asked_for_and_never_past_a_failure(
    slurm: Cluster, tmp_path: Path
) -> None:
    bad, ran = tmp_path / "bad", tmp_path / "ran"
    root = Chain(
        note("a", ran),
        Step("b", steps.note_unless, ARGS, str(bad), str(ran), "b"),
        note("c", ran),
    )
    run = submit(tmp_path, root)
    assert set(settled(run).values()) == {"DONE"}
    assert planit(tmp_path, "resume").out.startswith("Nothing to rerun")
    assert planit(tmp_path, "resume", "--only", "a").code == 0
    assert set(settled(run).values()) == {"DONE"}
    assert lines(ran) == ["a", "b", "c", "a"]
    bad.touch()
    run.resume(start_from=["b"])
    assert settled(run) == {"a": "DONE", "b": "FAILED", "c": "BLOCKED"}
    assert "blocked by b: FAILED" in str(run.status().step("c").cause)
    refused = planit(tmp_path, "resume", "--only", "c")
    assert refused.code == 5
    assert "step 'c' waits for 'b', which is FAILED" in refused.err
    bad.unlink()
    run.resume(only=["b"])
    until(lambda: states(run)["b"] == "DONE")
    assert states(run)["c"] != "DONE"
    run.resume(only=["c"])
    assert set(settled(run).values()) == {"DONE"}
    assert lines(ran) == ["a", "b", "c", "a", "b", "c"]
    unknown = planit(tmp_path, "resume", "--from", "bb")
    assert (unknown.code, "no step 'bb'" in unknown.err) == (5, True)
    status = run.status().step("b")
    older = planit(tmp_path, "logs", "b", "--older").out
    assert status.attempt == 3
    assert older.index("b") >= 0
    assert older.count("---\n") == 3


def test_new_resources_reach_what_is_rerun_and_wrong_ones_are_refused(
    slurm: Cluster, tmp_path: Path
) -> None:
    bad, ran = tmp_path / "bad", tmp_path / "ran"
    bad.touch()
    root = Chain(Step("a", steps.note_unless, ARGS, str(bad), str(ran), "a"), note("b", ran))
    run = submit(tmp_path, root)
    assert settled(run) == {"a": "FAILED", "b": "BLOCKED"}
    for word, told in (
        ("slurm.tiem=8", "tiem"),
        ("slurm.time=never", "never"),
        ("lr=3", "lr cannot be changed"),
        ("slurm.time=1,2", "slurm.time"),
    ):
        refused = planit(tmp_path, "resume", word)
        assert (refused.code, told in refused.err) == (2, True), refused
    with pytest.raises(PlanError, match="tiem"):
        run.resume(slurm={"tiem": "8"})
    bad.unlink()
    assert planit(tmp_path, "resume", "slurm.time=00:09:00", "slurm.mem_gb=1").code == 0
    limit = slurm_says("squeue", "-h", "-t", "all", "-j", of_run(run, "b"), "-o", "%l %m")
    assert limit == "9:00 1G"
    assert set(settled(run).values()) == {"DONE"}
    assert run.status().step("a").requested_s == 540


LOCKED = """
import sys, time
from pathlib import Path
from planit.record.lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_second_resume_is_refused_and_a_dead_owners_lock_taken_over(
    slurm: Cluster, tmp_path: Path
) -> None:
    run = submit(tmp_path, Step("a", steps.fail, ARGS))
    assert settled(run) == {"a": "FAILED"}
    owner = Script(tmp_path, LOCKED).start(str(run.path))
    assert owner.stdout is not None
    owner.stdout.readline()
    for verb in ("resume", "cancel"):
        refused = planit(tmp_path, verb)
        assert refused.code == 5
        assert f"being worked on by process {owner.pid} on " in refused.err
    assert planit(tmp_path, "status").code == 0
    owner.kill()
    owner.communicate()
    assert planit(tmp_path, "resume").code == 0
    assert not (run.path / "lock").exists()
    assert settled(run) == {"a": "FAILED"}
    assert run.status().step("a").attempt == 2


def test_fixed_code_is_what_a_resume_runs_and_edits_change_no_queued_job(
    slurm: Cluster, tmp_path: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    module = project / "mine.py"
    text = "from pathlib import Path\ndef work(out):\n    {}\n"
    module.write_text(text.format("raise ValueError('bug')"))
    (project / "go.py").write_text(
        "import sys, mine\nfrom planit import *\nfrom tests.slurm.tools import submit, ARGS\n"
        "from tests.slurm import steps\nfrom pathlib import Path\n"
        "gate = Step('gate', steps.gate, ARGS, sys.argv[1] + '/go')\n"
        "submit(Path(sys.argv[1]), Chain(gate, Step('work', mine.work, ARGS, sys.argv[1])))\n"
    )
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": f"{root}"}
    subprocess.run([sys.executable, "go.py", str(tmp_path)], cwd=project, env=env, check=True)
    run = Run.open(base=tmp_path)
    where = "(Path(out) / 'where').write_text(__file__ + ' {}')"
    module.write_text(text.format(where.format("fixed")))
    (tmp_path / "go").touch()
    assert settled(run) == {"gate": "DONE", "work": "FAILED"}  # the edit came too late
    assert run.status().step("work").cause == "ValueError: bug"
    again = [sys.executable, "-m", "planit", "resume", "--runs-dir", str(tmp_path)]
    subprocess.run(again, cwd=project, env={**env, "PYTHONPATH": f"{root}:{project}"}, check=True)
    module.write_text(text.format(where.format("edited later")))
    assert set(settled(run).values()) == {"DONE"}
    assert (tmp_path / "where").read_text() == f"{module} fixed"


def test_story_from_the_command_line(slurm: Cluster, tmp_path: Path) -> None:
    """Submit thesis with a bug, leave, look, fix, resume; and Slurm's times prove every edge."""
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "PLANIT_EXAMPLE_DIR": str(tmp_path / "files")}

    def command(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "planit", *words],
            cwd=tmp_path,
            env={**env, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    refused = command("submit", "plan=thesis", "plan.steps.generate_plots.slurm.partition=nope")
    assert refused.returncode == 3
    assert refused.stderr.startswith("planit: error: step 'generate_plots' was refused: sbatch: ")
    assert refused.stderr.count("\n") == 2
    submitted = command("submit", "plan=thesis", PLANIT_EXAMPLE_FAIL="en")
    assert submitted.stdout.startswith("Submitted plan thesis: 10 step(s) as 9 job(s)\n")
    waited = command("wait")
    assert waited.returncode == 1
    assert waited.stdout.endswith(": 3 done, 1 failed, 6 blocked\n")
    shown = command("status", "--json")
    found = {step["name"]: step for step in json.loads(shown.stdout)["steps"]}
    cause = "ValueError: the en corpus is broken"
    assert found["preprocess_en"]["cause"] == cause
    assert found["train_nl"]["state"] == "DONE"
    blocked = {step["cause"] for step in found.values() if step["state"] == "BLOCKED"}
    assert blocked == {f"blocked by preprocess_en: FAILED, {cause}"}
    assert in_queue(Run.open(base=tmp_path / "planit_runs")) == []
    logs = command("logs")
    assert logs.stdout.endswith(f"{cause}\n")
    assert "File" in logs.stdout
    resumed = command("resume")
    assert resumed.stdout.endswith("7 to rerun, 3 kept, 0 going on\n")
    assert command("wait").returncode == 0
    run = Run.open(base=tmp_path / "planit_runs")
    assert set(states(run).values()) == {"DONE"}
    for name in ("download_data", "preprocess_nl", "train_nl"):
        files = files_of(run.path, name)
        assert files.submission == 1
        records = [path.name for path in files.folder.glob(f"{files.index}.*.json")]
        assert records == [f"{files.index}.0.json"]
    edges = json.loads((run.path / "submissions" / "2.json").read_text())["stages"]
    assert len(edges) == 6
    check_edges(run)
    assert (tmp_path / "files" / "thesis" / "plot.txt").read_text().count("█") > 10


THESIS = {
    "preprocess_en": ["download_data"],
    "preprocess_nl": ["download_data"],
    "train_bert": ["preprocess_en"],
    "train_roberta": ["preprocess_en"],
    "hyperparam_search": ["preprocess_en"],
    "train_xlm-r": ["hyperparam_search"],
    "train_nl": ["preprocess_nl"],
    "evaluate_all": ["train_bert", "train_roberta", "train_xlm-r", "train_nl"],
    "generate_plots": ["evaluate_all"],
}


def check_edges(run: Run) -> None:
    """By Slurm's own start and end times no step began before what it waits for had ended."""
    jobs = {name: of_run(run, name) for name in states(run)}
    ids = ",".join(jobs.values())
    fields = "JobID,Start,End,State"

    def times() -> dict[str, tuple[str, str]]:
        rows = [row.split("|") for row in slurm_says(
            "sacct", "-XnP", "-j", ids, "-o", fields).splitlines()]  # fmt: skip
        return {job: (start, end) for job, start, end, state in rows if state == "COMPLETED"}

    until(lambda: set(times()) >= set(jobs.values()))
    found = times()
    for name, parents in THESIS.items():
        for parent in parents:
            assert found[jobs[name]][0] >= found[jobs[parent]][1], (name, parent)


def test_interrupted_wait_leaves_the_jobs_alone(slurm: Cluster, tmp_path: Path) -> None:
    run = submit(tmp_path, Step("a", steps.gate, ARGS, str(tmp_path / "go"), str(tmp_path / "b")))
    until(lambda: lines(tmp_path / "b"))
    process = subprocess.Popen(
        [sys.executable, "-m", "planit", "wait", "--runs-dir", str(tmp_path)],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "1 running\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the jobs of run" in err
    assert states(run) == {"a": "RUNNING"}
    (tmp_path / "go").touch()
    assert settled(run) == {"a": "DONE"}
    assert planit(tmp_path, "wait").code == 0
