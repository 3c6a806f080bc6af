"""planit is killed around the moment in which the engine starts."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from planit import SlurmArgs, Step
from planit.backends.local.backend import LocalBackend
from planit.errors import SchedulerError, SubmissionError
from planit.submit.new import NewRun
from tests.helpers import HERE, run_python
from tests.local import work
from tests.local.project import Project, chain
from tests.slurm.tools import until

DIES = """
import os, pathlib, signal, sys, time
from planit.app.main import main
from planit.record.journal import Journal

event, stage, word = sys.argv[1:4]
append = Journal.append

def die(self, what, **more):
    if what == event and more.get("stage", -1) in (-1, int(stage)):
        end = time.monotonic() + 5
        while what == "released" and not pathlib.Path("begun").exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, what, **more)

Journal.append = die
main(["submit", "plan=p", "backend=local", f"backend.detach={word}"])
"""


@pytest.mark.parametrize(
    ("event", "stage", "detach"),
    [
        ("intent", 0, "false"),
        ("submitted", 1, "true"),
        ("released", 0, "true"),
        ("released", 0, "false"),
    ],
)
def test_a_submission_that_was_killed_is_finished_by_resume_and_nothing_runs_twice(
    project: Project, event: str, stage: int, detach: str
) -> None:
    project.plan({"a": {"func": "sleep", "seconds": 0.3}, "b": {}}, chain("a", "b"))
    done = subprocess.run(
        [sys.executable, "-c", DIES, event, str(stage), detach],
        cwd=project.folder,
        env=project.environment(PYTHONPATH=HERE),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    runs_on = event == "released" and detach == "true"
    if runs_on:
        assert set(project.states().values()) <= {"RUNNING", "PENDING", "DONE"}
    else:
        project.nothing_left()
    until(lambda: project.planit("resume").code == 0)
    until(lambda: set(project.states().values()) == {"DONE"})
    assert Counter(project.lines("ran")) == {"a": 1, "b": 1}
    assert len(project.lines("begun")) == (2 if event == "released" and not runs_on else 1)
    project.nothing_left()


def test_an_engine_that_starts_after_its_submission_was_taken_back_runs_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_slow(*_arguments: object, **_options: object) -> None:
        raise SchedulerError("it took too long")

    monkeypatch.setattr(LocalBackend, "release", too_slow)
    ran = tmp_path / "ran"
    step = Step("s", work.note, SlurmArgs(time="5", partition="b"), str(ran))
    with pytest.raises(SubmissionError, match="it took too long"):
        NewRun(plan="p", root=step, base=tmp_path / "runs", backend=LocalBackend()).start()
    run_dir = next((tmp_path / "runs").glob("p/*"))
    late = run_python("-m", "planit.backends.local", str(run_dir), "1", "{}", "-1", cwd=tmp_path)
    assert late.code == 1
    assert "the submission was taken back" in late.err
    assert not ran.exists()
