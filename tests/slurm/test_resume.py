"""Resume: what is submitted again, on what it waits, and with which resources."""

from __future__ import annotations

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
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    Script,
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


def three_in_a_row(base: Path) -> tuple[Run, Path, Path]:
    """A run of a, b and c; b fails while the file `bad` is there. What ran is in `ran`."""
    bad, ran = base / "bad", base / "ran"
    fails = Step("b", steps.note_unless, ARGS, str(bad), str(ran), "b")
    return submit(base, Chain(note("a", ran), fails, note("c", ran))), bad, ran


def test_only_reruns_just_what_was_asked_for(slurm: Cluster, tmp_path: Path) -> None:
    run, _, ran = three_in_a_row(tmp_path)
    assert set(settled(run).values()) == {"DONE"}
    assert planit(tmp_path, "resume").out.startswith("Nothing to rerun")
    unknown = planit(tmp_path, "resume", "--from", "bb")
    assert (unknown.code, "no step 'bb'" in unknown.err) == (5, True)
    assert planit(tmp_path, "resume", "--only", "a").code == 0
    assert set(settled(run).values()) == {"DONE"}
    assert lines(ran) == ["a", "b", "c", "a"]


def test_from_and_only_never_go_past_a_failure(slurm: Cluster, tmp_path: Path) -> None:
    run, bad, ran = three_in_a_row(tmp_path)
    settled(run)
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
    assert lines(ran) == ["a", "b", "c", "b", "c"]


def test_each_resume_is_an_attempt_with_a_log_of_its_own(slurm: Cluster, tmp_path: Path) -> None:
    run, bad, _ = three_in_a_row(tmp_path)
    settled(run)
    bad.touch()
    run.resume(only=["b"])
    assert settled(run)["b"] == "FAILED"
    bad.unlink()
    run.resume(only=["b"])
    assert settled(run)["b"] == "DONE"
    assert run.status().step("b").attempt == 3
    older = planit(tmp_path, "logs", "b", "--older").out
    assert older.count("---\n") == 3
    assert older.count("noted b\n") == 2


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
    where_it_ran, fixed = (tmp_path / "where").read_text().split()
    assert fixed == "fixed"
    assert Path(where_it_ran).is_relative_to(run.path / "code")
    assert Path(where_it_ran).name == "mine.py"


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
