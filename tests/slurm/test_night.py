"""A night with a bug, as the README tells it: its commands, and what it shows of them.

The README's block is run once; the tests look at what it left.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import Run
from tests.cluster import Cluster
from tests.helpers import ROOT, Done, files_of, run_planit
from tests.readme import block_with, is_as_shown
from tests.slurm.tools import in_queue, of_run, slurm_says, states, until

pytestmark = pytest.mark.slurm

NIGHT = block_with("$ planit submit plan=thesis").shown
CAUSE = "ValueError: the en corpus is broken"
PARENTS = {
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


@dataclass
class Night:
    """What the night left.

    Attributes:
        done: what each command of the README printed, by its verb.
        waited, failed, queue: a wait before the status, that status as JSON, and the queue then.
    """

    folder: Path
    done: dict[str, Done]
    waited: Done
    failed: dict[str, Any]
    queue: list[str]

    @property
    def run(self) -> Run:
        return Run.open(base=self.folder / "planit_runs")


@pytest.fixture(scope="module")
def night(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    env = {"PYTHONPATH": str(ROOT), "PLANIT_EXAMPLE_DIR": str(folder / "files")}

    def command(line: str, **more: str) -> Done:
        text = f'planit() {{ {sys.executable} -m planit "$@"; }}\n{line}'
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=folder,
            env={**os.environ, **env, **more},
            capture_output=True,
            text=True,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    (submit, _), *rest = NIGHT
    done = {"submit": command(submit, PLANIT_EXAMPLE_FAIL="en")}
    waited = command("planit wait")
    failed = json.loads(command("planit status --json").out)
    queue = in_queue(Run.open(base=folder / "planit_runs"))
    for line, _ in rest:
        done[line.split()[1]] = command(line)
    return Night(folder, done, waited, failed, queue)


@pytest.mark.parametrize(("line", "shown"), NIGHT, ids=[line.split()[1] for line, _ in NIGHT])
def test_each_command_prints_what_the_readme_shows(night: Night, line: str, shown: str) -> None:
    done = night.done[line.split()[1]]
    assert done.code == 0, done
    assert not shown or is_as_shown(done.out, shown), done.out


def test_the_night_ends_with_the_failed_steps_cause_at_all_that_it_blocked(night: Night) -> None:
    assert night.waited.code == 1
    assert night.waited.out.endswith(": 3 done, 1 failed, 6 blocked\n")
    steps = {step["name"]: step for step in night.failed["steps"]}
    assert steps["preprocess_en"]["cause"] == CAUSE
    assert steps["train_nl"]["state"] == "DONE"
    blocked = {step["cause"] for step in steps.values() if step["state"] == "BLOCKED"}
    assert blocked == {"blocked by preprocess_en: FAILED"}


def test_nothing_of_it_stays_in_the_queue(night: Night) -> None:
    assert night.queue == []


def test_the_failed_steps_log_is_shown(night: Night) -> None:
    assert night.done["logs"].out.endswith(f"{CAUSE}\n")
    assert "File" in night.done["logs"].out


def test_what_was_done_is_not_run_again(night: Night) -> None:
    assert set(states(night.run).values()) == {"DONE"}
    for name in ("download_data", "preprocess_nl", "train_nl"):
        files = files_of(night.run.path, name)
        records = [path.name for path in files.folder.glob(f"{files.index}.*.json")]
        assert (files.submission, records) == (1, [f"{files.index}.0.json"])
    resumed = json.loads((night.run.path / "submissions" / "2.json").read_text())
    assert len(resumed["stages"]) == 6


def test_by_slurms_own_times_no_step_began_before_its_parents_had_ended(night: Night) -> None:
    jobs = {name: of_run(night.run, name) for name in states(night.run)}

    def times() -> dict[str, tuple[str, str]]:
        words = ("-XnP", "-j", ",".join(jobs.values()), "-o", "JobID,Start,End,State")
        rows = [row.split("|") for row in slurm_says("sacct", *words).splitlines()]
        return {job: (start, end) for job, start, end, state in rows if state == "COMPLETED"}

    until(lambda: set(times()) >= set(jobs.values()))
    found = times()
    for name, parents in PARENTS.items():
        for parent in parents:
            assert found[jobs[name]][0] >= found[jobs[parent]][1], (name, parent)


def test_the_last_step_draws_its_plot(night: Night) -> None:
    assert (night.folder / "files" / "thesis" / "plot.txt").read_text().count("█") > 10


def test_a_submission_that_slurm_refuses_says_why_in_a_line_and_a_hint(
    slurm: Cluster, tmp_path: Path
) -> None:
    words = ["submit", "plan=thesis", "plan.steps.generate_plots.slurm.partition=nope"]
    refused = run_planit(*words, cwd=tmp_path)
    assert refused.code == 3
    assert refused.err.startswith("planit: error: step 'generate_plots' was refused: sbatch: ")
    assert refused.err.count("\n") == 2
