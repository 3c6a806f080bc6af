"""An ordinary Hydra program with ``hydra/launcher=planit``, on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from planit.record import trust
from planit.record.task_files import read_result
from tests.helpers import HERE, Done, all_below, files_of, planit_here, write
from tests.launcher.programs import (
    BROKEN,
    FIXED,
    LOCAL,
    add_sweeper,
    only_run,
    outputs,
    project,
    train,
)


@dataclass(frozen=True)
class Swept:
    """A project in which a sweep was launched."""

    folder: Path
    done: Done

    def planit(self, verb: str, *words: str) -> Done:
        """A verb, called from another folder."""
        runs = str(self.folder / "planit_runs")
        return planit_here(verb, "--runs-dir", runs, *words, cwd=self.folder.parent)

    def states(self) -> dict[str, str]:
        shown: dict[str, Any] = json.loads(self.planit("status", "--json").out)
        return {step["name"]: step["state"] for step in shown["steps"]}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    folder = project(tmp_path_factory.mktemp("swept"))
    return Swept(folder, train(folder, *LOCAL, "optimizer.lr=0.1,0.2", "+experiment=long"))


def test_a_program_runs_and_leaves_what_it_leaves_under_hydra(swept: Swept) -> None:
    assert swept.done.code == 0, swept.done.err
    there = all_below(outputs(swept.folder))
    for number in ("0", "1"):
        for name in ("train.log", "score.json", ".hydra/config.yaml", ".hydra/overrides.yaml"):
            assert f"{number}/{name}" in there
    assert "multirun.yaml" in there
    hydra = yaml.safe_load((outputs(swept.folder) / "1/.hydra/hydra.yaml").read_text())["hydra"]
    assert (hydra["job"]["num"], hydra["job"]["id"]) == (1, "1.0_1")
    assert hydra["runtime"]["output_dir"] == str(outputs(swept.folder) / "1")


def test_the_sweep_is_one_run_that_planit_shows(swept: Swept) -> None:
    run = only_run(swept.folder).name
    assert f"Run {run}, job(s) 1.0\n" in swept.done.out  # one array
    assert swept.states() == {"train-0": "DONE", "train-1": "DONE"}
    log = swept.planit("logs", "train-1").out
    assert "[__main__][INFO] - training cnn for 200 steps" in log
    steps = json.loads((only_run(swept.folder) / "manifest.json").read_text())["tree"]["children"]
    assert steps[1]["args"] == ["optimizer.lr=0.2 +experiment=long"]


def test_the_record_keeps_the_values_and_nothing_of_the_sweepers(swept: Swept) -> None:
    with trust.opened(only_run(swept.folder)) as run:
        end, pickled = read_result(run, files_of(run.path, "train-1"), 0, 0)
    score = json.loads((outputs(swept.folder) / "1/score.json").read_text())["loss"]
    assert end is not None
    assert (end.result, pickled) == (score, b"")
    assert all_below(only_run(swept.folder) / "steps") == []


def test_the_results_of_the_jobs_are_a_table(swept: Swept) -> None:
    done = swept.planit("results", "--json")
    found = json.loads(done.out)
    assert found["step"] == "train"
    for number, row in enumerate(found["rows"]):
        score = json.loads((outputs(swept.folder) / f"{number}/score.json").read_text())
        assert (row["step"], row["result"]) == (f"train-{number}", score["loss"])
        assert row["values"] == {"optimizer.lr": (0.1, 0.2)[number]}


def test_a_failed_job_fails_the_sweep_when_all_have_ended_and_is_resumed(tmp_path: Path) -> None:
    folder = project(tmp_path)
    write(folder / "vision/model.py", BROKEN)
    one = Swept(folder, train(folder, *LOCAL, "model.width=13,8", "seed=7"))
    assert one.done.code == 1
    assert "unlucky" in one.done.err
    assert "train-0  FAILED     job 1.0_0" in one.done.out
    assert one.states() == {"train-0": "FAILED", "train-1": "DONE"}
    write(folder / "vision/model.py", FIXED)
    write(folder / "conf/model/bert.yaml", "_target_: vision.model.Model\nname: other\nwidth: 1\n")
    resumed = one.planit("resume")
    assert resumed.code == 0, resumed.err
    assert "as it was submitted" in resumed.out
    assert one.states() == {"train-0": "DONE", "train-1": "DONE"}
    # The configuration is the frozen one, and so is the folder of the outputs.
    assert json.loads((outputs(folder) / "0/score.json").read_text())["model"] == "bert"


def test_without_waiting_the_program_ends_and_the_jobs_go_on(tmp_path: Path) -> None:
    folder = project(tmp_path)
    words = ("hydra.launcher.wait=false", "hydra.launcher.name=night", "optimizer.lr=0.1,0.2")
    one = Swept(folder, train(folder, *LOCAL, *words))
    assert one.done.code == 0, one.done.err
    (run,) = folder.glob("planit_runs/night/*")
    assert f"Run {run.name}, job(s)" in one.done.out
    assert "planit status" in one.done.out
    assert one.planit("wait").code == 0
    assert one.states() == {"train-0": "DONE", "train-1": "DONE"}
    assert all_below(run / "steps") == []


def test_another_sweeper_gets_the_values_and_each_batch_is_a_run(tmp_path: Path) -> None:
    folder = project(tmp_path)
    env = add_sweeper(folder)
    words = (*LOCAL, "hydra/sweeper=halving", "hydra.launcher.freeze=off")
    done = train(folder, *words, "epochs=1", env=env)
    assert done.code == 0, done.err
    assert "best 0.1 of 4" in done.out
    assert len(list(folder.glob("planit_runs/train/*"))) == 2
    assert [path.name for path in sorted(outputs(folder).glob("?"))] == ["0", "1", "2", "3"]
    done = train(folder, *words, "hydra.launcher.wait=false", env=env)
    assert done.code == 1
    assert "planit: error: hydra.launcher.wait=false: hydra_plugins.halving" in done.err
    assert len(list(folder.glob("planit_runs/train/*"))) == 2


def test_in_this_process_the_jobs_run_one_after_another(tmp_path: Path) -> None:
    folder = project(tmp_path)
    write(folder / "vision/model.py", BROKEN)
    words = ("hydra/launcher=planit", "hydra.launcher.backend=debug", "model.width=13,8")
    done = train(folder, *words)
    assert done.code == 1
    assert "unlucky" in done.err
    assert json.loads((outputs(folder) / "1/score.json").read_text())["model"] == "bert"
    assert not (folder / "planit_runs").exists()


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("hydra.launcher.preset=gpu_a10", "unknown SLURM preset 'gpu_a10' (did you mean gpu_a100?"),
        ("hydra.launcher.tme=4", "Could not override 'hydra.launcher.tme'."),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_submitted(
    tmp_path: Path, word: str, problem: str
) -> None:
    folder = project(tmp_path)
    done = train(folder, *LOCAL, "optimizer.lr=1,2", word)
    assert done.code == 1
    assert sum(problem in line for line in done.err.splitlines()) == 1
    assert "Traceback" not in done.err
    assert not (folder / "planit_runs").exists()


def interrupted(folder: Path, *words: str) -> Swept:
    """A sweep of two jobs, one at a time, of which the first waits for a file, and Ctrl-C."""
    slow = FIXED.replace("        self.name", _SLOW + "        self.name", 1)
    write(folder / "vision/model.py", slow)
    command = [sys.executable, "train.py", "-m", *LOCAL, "hydra.launcher.max_concurrent=1"]
    env = {**os.environ, "PYTHONPATH": HERE, "PLANIT_RUNS_DIR": str(folder / "planit_runs")}
    process = subprocess.Popen(
        [*command, "optimizer.lr=0.1,0.2", *words],
        cwd=folder, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    for line in process.stderr:
        seen += line
        if line.startswith(("started", "1 running")):
            process.send_signal(signal.SIGINT)
        if line.startswith(("Finishing", "Stopped")):
            break
    (folder / "go").touch()
    seen += process.stderr.read()
    process.stderr.close()
    assert "Traceback" not in seen
    return Swept(folder, Done(process.wait(30), "", seen))


def test_ctrl_c_finishes_what_runs_here_and_the_rest_can_be_resumed(tmp_path: Path) -> None:
    one = interrupted(project(tmp_path))
    assert one.done.code == 130
    assert one.states() == {"train-0": "DONE", "train-1": "CANCELLED"}
    assert one.planit("resume").code == 0
    assert one.states() == {"train-0": "DONE", "train-1": "DONE"}


def test_ctrl_c_leaves_jobs_alone_that_do_not_end_with_the_program(tmp_path: Path) -> None:
    one = interrupted(project(tmp_path), "hydra.launcher.backend_settings.detach=true")
    assert one.done.code == 130
    run = only_run(one.folder).name
    assert f"Stopped waiting; the jobs of run {run} go on: planit status shows" in one.done.err
    assert one.planit("wait").code == 0
    assert one.states() == {"train-0": "DONE", "train-1": "DONE"}


_SLOW = """\
        import time
        from pathlib import Path

        while not Path("go").exists():
            time.sleep(0.02)
"""
