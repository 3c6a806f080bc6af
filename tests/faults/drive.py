"""``python -m tests.faults.drive VERB ...``: planit's command line, and a submission of a spec.

    submit FOLDER       submit FOLDER/spec.json to Slurm; runs go to FOLDER/runs
    submit-and-load FOLDER RUNS
                        the same, with the runs in RUNS; then wait and load all results
    VERB WORDS          planit's own verb

FAULTS_TIMEOUT_S is for how long a Slurm client may be silent, which the command line does not
let one choose; FAULTS_READY names a file that appears when all is imported and work begins.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import submitit

from planit import Plan
from planit.app.main import main
from planit.backends.slurm.client import SlurmClient
from planit.errors import PlanitError
from tests.faults import plans


def be_impatient(seconds: float) -> None:
    """Let every Slurm client give up after this time."""
    made = SlurmClient.__init__

    def init(self: SlurmClient, **words: Any) -> None:
        made(self, **{"timeout_s": seconds, **words})

    SlurmClient.__init__ = init  # type: ignore[method-assign, assignment]


def submit(folder: Path, runs: Path, *, loads: bool = False) -> int:
    """Submit the plan that is described in the folder; the exit code of `planit submit`."""
    spec = json.loads((folder / "spec.json").read_text())
    executor = submitit.AutoExecutor(folder=runs, cluster="slurm")
    plan = Plan("p", plans.node(spec, folder / "log"))
    ready()
    try:
        plan.submit(executor)
    except PlanitError as error:
        print(f"planit: error: {error.message}\n  hint: {error.hint}", file=sys.stderr)
        return error.exit_code
    if loads:
        load(plan)
    return 0


def load(plan: Plan) -> None:
    """Wait for the results, and unpickle what is there, a few times."""
    try:
        plan.wait()
    except PlanitError as error:
        print(error, file=sys.stderr)
    for _ in range(20):
        for job in plan.jobs:
            with contextlib.suppress(Exception):  # there may be none
                print(job.result())
        time.sleep(0.05)


def ready() -> None:
    """Say that work begins."""
    if path := os.environ.get("FAULTS_READY"):
        Path(path).touch()


def run(words: list[str]) -> int:
    """Do what the words say; the exit code."""
    if seconds := os.environ.get("FAULTS_TIMEOUT_S"):
        be_impatient(float(seconds))
    if words[0] == "submit":
        return submit(Path(words[1]), Path(words[1], "runs"))
    if words[0] == "submit-and-load":
        return submit(Path(words[1]), Path(words[2]), loads=True)
    ready()
    return main(words)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
