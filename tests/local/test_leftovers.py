"""What a step leaves behind ends with the step, whatever is killed, and however it hides.

The processes are found by a random mark in their command lines: some have no environment.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local.project import Project, chain, ended, parallel, wait_for_lines
from tests.local.work import CHAIN, CROWD, marked
from tests.slurm.tools import until

STAY = ["setsid", "nohup", "no environment", "daemon"]
BREED = ["chain", "crowd"]


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark of this test's processes, none of which is left after it."""
    made = secrets.token_hex(16)
    yield made
    while not nothing_of(made):
        for pid in marked(made):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def nothing_of(mark: str) -> bool:
    """Whether no process has the mark; one that forks and ends all the time is easily missed."""
    for _ in range(10):
        if marked(mark):
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("way", [*STAY, *BREED])
def test_what_a_step_leaves_behind_has_ended_before_the_next_step_starts(
    project: Project, mark: str, way: str, isolation: str
) -> None:
    steps: dict[str, dict[str, Any]] = {
        "leaves": {"func": "leave", "mark": mark, "ways": [way]},
        "after": {"func": "count_marked", "mark": mark},
    }
    project.plan(steps, chain("leaves", "after"))
    done = project.planit("submit", "plan=p", "backend=local", f"backend.isolation={isolation}")
    assert done.code == 0, done
    assert project.lines("counted") == ["0"]
    assert nothing_of(mark)


def test_what_a_command_leaves_behind_ends_with_it(project: Project, mark: str) -> None:
    command = f"env -i setsid sh -c 'while :; do sleep 0.1; done' {mark} > /dev/null 2>&1 &"
    steps = {"after": {"func": "count_marked", "mark": mark}}
    daemon: dict[str, Any] = {"_target_": "planit.Command", "name": "daemon", "command": command}
    daemon["slurm_args"] = {"_target_": "planit.SlurmArgs", "time": "5", "partition": "batch"}
    project.plan(steps, chain(daemon, "after"))
    done = project.planit("submit", "plan=p", "backend=local")
    assert done.code == 0, done
    assert project.lines("counted") == ["0"]


def test_what_a_step_with_setup_lines_leaves_behind_ends_with_it(
    project: Project, mark: str
) -> None:
    line = f"env -i setsid sh -c 'while :; do sleep 0.1; done' {mark} > /dev/null 2>&1 &"
    steps: dict[str, dict[str, Any]] = {
        "leaves": {"func": "nothing", "slurm": {"setup": [line]}},
        "after": {"func": "count_marked", "mark": mark},
    }
    project.plan(steps, chain("leaves", "after"))
    done = project.planit("submit", "plan=p", "backend=local")
    assert done.code == 0, done
    assert project.lines("counted") == ["0"]


def test_a_daemon_of_a_step_that_still_runs_is_left_alone(project: Project, mark: str) -> None:
    steps: dict[str, dict[str, Any]] = {
        "long": {"func": "leave_and_wait", "mark": mark, "ways": STAY},
        "other": {"func": "until", "flag": "go on", "path": "other"},
        "counts": {"func": "count_marked", "mark": mark},
    }
    project.plan(steps, parallel("long", chain("other", "counts")))
    process = project.submit("backend.cpus=2")
    wait_for_lines(project, "begun", 1)
    (project.folder / "go on").touch()
    assert wait_for_lines(project, "counted", 1) == [str(len(STAY))]
    (project.folder / "go").touch()
    assert ended(process).code == 0
    assert nothing_of(mark)


def test_a_helper_that_an_imported_module_has_started_is_left_alone(
    project: Project, mark: str
) -> None:
    module = project.folder / "work.py"
    start = f'subprocess.Popen(["/bin/sh", "-c", SLEEPER, "{mark}"])'
    guarded = f'if "planit.backends.local" in " ".join(sys.orig_argv):\n    {start}'
    module.write_text(f"{module.read_text()}\n{guarded}\n")
    counts: dict[str, Any] = {"func": "count_marked", "mark": mark}
    steps: dict[str, dict[str, Any]] = {
        "a": counts,
        "slow": {"func": "sleep", "seconds": 0.8},
        "b": counts,
    }
    project.plan(steps, chain(*steps))
    assert project.planit("submit", "plan=p", "backend=local").code == 0
    assert project.lines("counted") == ["1", "1"]
    assert nothing_of(mark)


TWO_OF_THREE = [(0,), (1,), (2,), *itertools.combinations(range(3), 2)]


@pytest.mark.parametrize(
    ("whom", "detach"), [*((whom, False) for whom in TWO_OF_THREE), ((0, 2), True)]
)
def test_after_kill_9_of_any_two_of_engine_and_guardians_nothing_is_left(
    project: Project, mark: str, whom: tuple[int, ...], detach: bool
) -> None:
    steps = {
        "one": {"func": "leave_and_wait", "mark": mark, "ways": [*STAY, *BREED]},
        "two": {"func": "leave_and_wait", "mark": mark, "ways": STAY},
    }
    project.plan(steps, parallel("one", "two"))
    process = project.submit("backend.cpus=2", *(["--detach"] if detach else []))
    wait_for_lines(project, "begun", 2)
    family = project.family()
    assert len(family) == 3
    for i in whom:
        os.kill(family[i], signal.SIGKILL)
    ended(process)
    project.nothing_left()
    assert nothing_of(mark)
    assert project.states() == {"one": "CANCELLED", "two": "CANCELLED"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_when_planit_is_killed_nothing_is_left(
    project: Project, mark: str, number: signal.Signals
) -> None:
    project.plan(
        {"one": {"func": "leave_and_wait", "mark": mark, "ways": [*STAY, *BREED]}}, chain("one")
    )
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    process.send_signal(number)
    ended(process)
    project.nothing_left()
    assert nothing_of(mark)


@pytest.mark.parametrize("who", [0, 1])
def test_a_guardian_that_is_asked_to_end_ends_the_run(
    project: Project, mark: str, who: int
) -> None:
    project.plan({"one": {"func": "leave_and_wait", "mark": mark, "ways": STAY}}, chain("one"))
    process = project.submit()
    wait_for_lines(project, "begun", 1)
    os.kill(project.family()[who], signal.SIGINT)
    os.kill(project.family()[who], signal.SIGTERM)
    assert ended(process).code == 1
    project.nothing_left()
    assert nothing_of(mark)
    assert project.states() == {"one": "CANCELLED"}


def test_what_outlives_engine_and_all_guardians_still_runs_until_it_is_cancelled(
    project: Project, mark: str
) -> None:
    project.plan(
        {"one": {"func": "leave_and_wait", "mark": mark, "ways": ["setsid"]}}, chain("one")
    )
    ended(project.submit("--detach"))
    wait_for_lines(project, "begun", 1)
    for pid in project.family():
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(project.left()) == 2)  # the shell and its sleep
    assert project.states() == {"one": "RUNNING"}
    assert "1 going on" in project.planit("resume").out
    assert project.planit("cancel").code == 0
    assert nothing_of(mark)
    assert project.states() == {"one": "CANCELLED"}
    (project.folder / "go").touch()
    assert project.planit("resume").code == 0
    assert nothing_of(mark)


@pytest.mark.parametrize("program", [CHAIN, CROWD])
def test_processes_that_fork_while_they_are_killed_are_ended(mark: str, program: str) -> None:
    code = (
        "from planit.backends.local.descendants import adopt_orphans, end_children\n"
        "import subprocess, sys, time\n"
        "adopt_orphans()\n"
        "for _ in range(3):\n"
        "    subprocess.Popen([sys.executable, '-S', '-c', *sys.argv[1:]])\n"
        "time.sleep(1)\n"
        "end_children()\n"
    )
    subprocess.run([sys.executable, "-c", code, program, mark], check=True, timeout=60)
    assert nothing_of(mark)


KEPT = """
import subprocess, sys, time
from planit.backends.local.descendants import Leftovers
before = subprocess.Popen(["true"])
before.wait()
kept, left = (subprocess.Popen(["sleep", "60"]) for _ in range(2))
leftovers, end = Leftovers(), time.monotonic() + 5
while not leftovers.end({kept.pid}, None if sys.argv[1] == "all" else before.pid):
    assert time.monotonic() < end
assert kept.poll() is None
assert left.poll() is not None
kept.kill()
"""


@pytest.mark.parametrize("looks_at", ["all", "young"])
def test_only_children_that_are_not_kept_are_ended(looks_at: str) -> None:
    """In a process of its own: this one has a Slurm below it."""
    subprocess.run([sys.executable, "-c", KEPT, looks_at], check=True, timeout=60)
