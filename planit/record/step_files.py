"""The files in a step's folder beside its markers: its call, its checkpoint, its log, its result.

::

    payload.pkl               the call
    checkpoint.pkl            the call as it saved itself, from where the next attempt goes on
    <job>_<rank>_log.out      what it wrote
    <job>_<rank>_result.pkl   what it returned
    exit-<job>.<restart>      between the user's setup and teardown lines: the step's exit code

<job> is the job's id as squeue shows it. Names that end in ``_in_bash`` are for scripts.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from planit.record.trust import TrustedDir

PAYLOAD, CHECKPOINT = "payload.pkl", "checkpoint.pkl"
# sbatch manual, "filename pattern": %j is the job, %A the array, %a the task.
JOB_LOG_PATTERN = "%j_0_log.out"
ARRAY_LOG_PATTERN = "%a_%A.out"  # what Slurm itself writes about a task; in the stage's folder

_LOG = re.compile(r"\d+(?:_\d+)?_(\d+)_log\.out")


def log(job: str, rank: int | str = 0) -> str:
    """The log of a job; `rank` may be a pattern, such as srun's ``%t`` or a glob's ``*``."""
    return f"{job}_{rank}_log.out"


def array_log(task: int, array: str) -> str:
    """What Slurm wrote about a task of an array, in the stage's folder."""
    return f"{task}_{array}.out"


def rank_of(log_name: str) -> int:
    """The rank whose log this is; 0 for another file."""
    match = _LOG.fullmatch(log_name)
    return int(match[1]) if match else 0


def result(job: str, rank: int | None) -> str:
    """The pickled result of a rank, as submitit names it."""
    return f"{job}_{rank or 0}_result.pkl"


def exit_code_in_bash(step_dir: str, attempt: str) -> str:
    """Where a script keeps the step's exit code, from the shell's words for its parts."""
    return f"{step_dir}/exit-{attempt}"


def end_marker_in_bash(step_dir: str, attempt: str) -> str:
    """The end marker as a script looks for it."""
    return f"{step_dir}/end-{attempt}.json"


def open_call(step: TrustedDir) -> BinaryIO:
    """The pickled call of a step: its checkpoint, if there is one.

    Raises:
        RunError: there is none, or another user could have written it.
    """
    return step.open(CHECKPOINT if step.holds(CHECKPOINT) else PAYLOAD)
