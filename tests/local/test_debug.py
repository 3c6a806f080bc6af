"""``backend=debug``: one process, one step after another, and a debugger has the terminal."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import time

from tests.local.project import Project, chain, ended, parallel, wait_for_lines
from tests.slurm.tools import until


def test_steps_run_in_the_order_of_the_plan_in_the_main_thread(project: Project) -> None:
    steps = {
        "a": {"func": "main_thread"},
        "bad": {"func": "fail"},
        "behind": {"func": "main_thread"},
        "c": {"func": "main_thread"},
        "d": {"func": "main_thread"},
        "join": {},
    }
    tree = chain("a", parallel(chain("bad", "behind"), chain("c", "d")), "join")
    project.plan(steps, tree)
    done = project.planit("submit", "plan=p", "backend=debug")
    assert done.code == 1
    started = [line for line in done.err.splitlines() if line.startswith("started ")]
    assert started == ["started a", "started bad", "started c", "started d"]
    assert project.lines("threads") == ["MainThread"] * 3
    assert "ValueError: broken" in done.err
    assert "never ran because of that: behind, join" in done.err


def test_breakpoints_come_one_after_another_and_quit_ends_all(project: Project) -> None:
    project.plan({"a": {"func": "stops"}, "b": {"func": "stops"}}, parallel("a", "b"))
    ours, theirs = pty.openpty()
    process = project.start(
        "submit", "plan=p", "backend=debug", stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = ""

    def prompts(count: int) -> bool:
        nonlocal seen
        with contextlib.suppress(BlockingIOError):
            seen += os.read(ours, 65536).decode()
        return seen.count("(Pdb)") == count

    os.set_blocking(ours, False)
    until(lambda: prompts(1))
    time.sleep(0.5)
    assert prompts(1), seen  # the second step waits
    os.write(ours, b"found = 'changed by hand'\n")
    until(lambda: prompts(2))
    os.write(ours, b"continue\n")
    until(lambda: prompts(3))
    os.write(ours, b"quit\n")
    assert process.wait(30) == 130
    os.close(ours)
    assert project.lines("stopped") == ["changed by hand"]


def test_ctrl_c_ends_it_and_the_step_can_clean_up(project: Project) -> None:
    project.plan({"a": {"func": "saves_on_interrupt"}, "b": {}}, chain("a", "b"))
    process = project.start("submit", "plan=p", "backend=debug")
    wait_for_lines(project, "begun", 1)
    process.send_signal(signal.SIGINT)
    done = ended(process)
    assert done.code == 130, done
    assert "Traceback" not in done.err
    assert len(project.lines("cleaned")) == 1
    assert project.lines("ran") == []
