"""What planit shows of a run on this machine."""

from __future__ import annotations

import contextlib
import os
import pty
import re
from typing import Any

from tests.local.project import Project, chain, ended, parallel, wait_for_lines
from tests.slurm.tools import until

STEPS = {"a": {"func": "until", "flag": "go"}, "bad": {"func": "fail"}, "tail": {}}


def test_without_a_terminal_there_is_a_line_for_each_change(project: Project) -> None:
    slow = {"func": "sleep", "seconds": 1}  # so that planit looks several times
    steps: dict[str, Any] = {**STEPS, "a": slow}
    project.plan(steps, parallel("a", chain("bad", "tail")))
    done = ended(project.submit())
    assert done.code == 1
    said = [" ".join(re.sub(r"[\d.]+ s", "", line).split()) for line in done.err.splitlines()]
    for line in ("started a", "done a", "started bad", "failed bad", "blocked tail"):
        assert said.count(line) == 1, done.err
    assert "\x1b" not in done.err + done.out
    assert "ValueError: broken" in done.out
    assert "1 done, 1 failed, 1 blocked" in done.out


def test_in_ci_a_terminal_gets_plain_lines_too(project: Project) -> None:
    project.plan({"a": {}}, chain("a"))
    ours, theirs = pty.openpty()
    env = {"CI": "true", "TERM": "xterm-256color"}
    process = project.submit(stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    assert process.wait(30) == 0
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    assert "started" in seen
    assert "\x1b" not in seen


def test_in_a_terminal_there_is_a_bar_and_the_last_line_of_what_runs(project: Project) -> None:
    project.plan(STEPS, parallel("a", chain("bad", "tail")))
    ours, theirs = pty.openpty()
    env = {"CI": "", "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
    process = project.submit(stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    wait_for_lines(project, "begun", 1)
    seen = b""

    def shows(*wanted: str) -> bool:
        nonlocal seen
        with contextlib.suppress(OSError):  # the other side is closed
            seen += os.read(ours, 65536)
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode(errors="replace"))
        return all(word in text for word in wanted)

    os.set_blocking(ours, False)
    until(lambda: shows("━", "1 running", "a  waiting for a file"))
    (project.folder / "go").touch()
    until(
        lambda: shows(
            "1 blocked, 1 done, 1 failed ━", "1 done, 1 failed, 1 blocked", "planit resume"
        )
    )
    assert process.wait(30) == 1
    os.close(ours)
    tree = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode()).rpartition("└── ⇉ Parallel")[2]
    assert re.search(r"● a +DONE", tree), tree  # the last picture is that of the end
