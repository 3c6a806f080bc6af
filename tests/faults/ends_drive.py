"""``python -P -m tests.faults.ends_drive BACKEND NAME FOLDER``: submit a step with an odd end.

The working directory is that of the user's script. The debug backend runs the plan here, and leaves
the states in FOLDER/states.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import submitit

from planit import Chain, Command, Plan, SlurmArgs, Step, StepsFailedError
from planit.nodes import Node
from tests.faults import odd

_CPU = {"slurm_time": "5", "slurm_partition": "batch", "cpus_per_task": 1}
_BEHIND = SlurmArgs(time="6", partition="batch", cpus_per_task=1)


def plan(name: str, folder: Path) -> Plan:
    """The odd step, and one behind it."""
    end = odd.ENDS[name]
    args: dict[str, Any] = {**_CPU, **end.args}
    first: Node
    if end.command is not None:
        first = Command("odd", end.command, args, cwd=str(folder))
    elif name == odd.CHECKPOINTS:
        first = Step("odd", odd.Saves(), args, name, str(folder))
    else:
        first = Step("odd", odd.run, args, name, str(folder))
    return Plan("p", Chain(first, Step("behind", odd.behind, _BEHIND, str(folder))))


def main(backend: str, name: str, folder: Path) -> int:
    """Submit it; the exit code."""
    sys.path.insert(0, os.getcwd())  # as for a script: the imports above had none of it
    made = plan(name, folder)
    executor = submitit.AutoExecutor(folder=folder / "runs", cluster=backend)
    if backend == "local":
        made.submit(executor, local={"cpus": 8, "gpus": 0, "kill_wait_s": 3})
        return 0
    made.submit(executor)
    if backend == "debug":
        states = {"odd": "DONE", "behind": "DONE"}
        try:
            made.wait()
        except StepsFailedError as error:
            states |= dict.fromkeys(error.failures, "FAILED")
            states |= dict.fromkeys(error.blocked, "BLOCKED")
        (folder / "states.json").write_text(json.dumps(states))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
