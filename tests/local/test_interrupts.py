"""Ctrl-C, a closed terminal, kill -9: no process is left, and the run can be resumed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter

import pytest

from tests.local.project import Project, chain, ended, parallel, wait_for_lines
from tests.slurm.tools import until


def test_the_first_ctrl_c_lets_running_steps_finish_and_starts_no_more(project: Project) -> None:
    steps = {"a": {"func": "until", "flag": "go"}, "b": {}, "c": {}}
    project.plan(steps, parallel(chain("a", "b"), "c", max_concurrent=1))
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    process.send_signal(signal.SIGINT)
    until(lambda: project.states()["b"] == "CANCELLED")
    (project.folder / "go").touch()
    done = ended(process)
    assert done.code == 130
    assert "Finishing the running steps; Ctrl-C again ends them" in done.err
    assert "Traceback" not in done.err
    assert project.lines("ran") == ["a"]
    assert project.planit("resume").code == 0
    assert sorted(project.lines("ran")) == ["a", "b", "c"]


def test_the_second_ctrl_c_ends_every_process_of_the_run(project: Project) -> None:
    steps = {"family": {"func": "family"}, "deaf": {"func": "deaf"}, "tail": {}}
    project.plan(steps, parallel(chain("family", "tail"), "deaf"))
    process = project.submit("backend.cpus=4")
    wait_for_lines(project, "begun", 2)
    assert len(project.left()) >= 9
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    done = ended(process)
    assert done.code == 130
    assert "Ending the running steps" in done.err
    project.nothing_left()
    assert project.states() == {"family": "CANCELLED", "tail": "BLOCKED", "deaf": "CANCELLED"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_when_planit_ends_its_run_ends(project: Project, number: signal.Signals) -> None:
    project.plan({"family": {"func": "family"}, "tail": {}}, chain("family", "tail"))
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    process.send_signal(number)
    ended(process)
    project.nothing_left()
    assert project.states() == {"family": "CANCELLED", "tail": "BLOCKED"}


def test_when_the_engine_is_killed_its_steps_end_and_planit_says_so(project: Project) -> None:
    steps = {"once": {}, "family": {"func": "family"}, "tail": {}}
    project.plan(steps, chain("once", "family", "tail"))
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    record = (project.run_dir() / "local" / "1.jsonl").read_text()
    os.kill(int(record.partition('"pid": ')[2].partition(",")[0]), signal.SIGKILL)
    done = ended(process)
    assert done.code == 1
    assert "planit resume goes on from here" in done.out
    project.nothing_left()
    assert project.states() == {"once": "DONE", "family": "CANCELLED", "tail": "BLOCKED"}


FAMILY = {"guardian": [0], "engine": [2], "both": [0, 2]}


@pytest.mark.parametrize("whom", ["planit", *FAMILY])
def test_killed_at_any_moment_nothing_is_left_and_no_done_step_runs_again(
    project: Project, whom: str
) -> None:
    kills = int(os.environ.get("PLANIT_TEST_KILLS", "2"))
    steps = {f"s{i}": {"func": "sleep", "seconds": 0.15} for i in range(12)}
    project.plan(steps, chain(*(parallel(*list(steps)[i : i + 3]) for i in range(0, 12, 3))))
    chance = random.Random(os.environ.get("PLANIT_TEST_SEED", "1"))
    for _ in range(kills):
        for name in ("ran", "begun"):
            (project.folder / name).unlink(missing_ok=True)
        kill_at_a_random_moment(project, whom, chance)
        if not list(project.folder.glob("planit_runs/*/*/manifest.json")):
            continue
        done = [name for name, state in project.states().items() if state == "DONE"]
        last = project.planit("resume")
        assert last.code == 0, last
        assert set(project.states().values()) == {"DONE"}
        ran = Counter(project.lines("ran"))
        assert {ran[name] for name in done} <= {1}
        assert set(ran) == set(steps)
        for path in project.folder.glob("planit_runs/*/*"):
            path.rename(project.folder / f"old-{path.name}")
    project.nothing_left()


def kill_at_a_random_moment(project: Project, whom: str, chance: random.Random) -> None:
    process = project.submit("backend.cpus=3")
    if whom != "planit":
        until(lambda: len(project.family()) == 3 or process.poll() is not None)
    time.sleep(chance.uniform(0.4, 2.5) if whom == "planit" else chance.uniform(0, 1.5))
    family = project.family()
    chosen = [family[i] for i in FAMILY.get(whom, []) if i < len(family)]
    for pid in [process.pid] if whom == "planit" else chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    ended(process)
    project.nothing_left(60)
