"""What a retry policy adds to the script of a job."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from planit.errors import PlanError
from planit.job.put_back import OUT_OF_TIME
from planit.job.retries import POLICY
from planit.nodes.walltime import parse

_MAX_WARNING_S, _MIN_WARNING_S = 60, 10
_PART = 0.1  # of the wall time


def retry_flags(options: Mapping[str, Any], *, checkpoints: bool) -> dict[str, Any]:
    """Options of sbatch: a job must be allowed to be requeued, and warned before its time is over.

    Raises:
        PlanError: the steps save themselves, for which Slurm warns them, and not the script.
    """
    policy = options.get("retry")
    if not policy:
        return {}
    flags: dict[str, Any] = {"requeue": True}
    if "timeout" in policy:
        if checkpoints:
            raise PlanError(
                "retry.timeout is not for a step that saves itself",
                hint="max_requeues says how often it may exceed its time limit",
            )
        flags["signal"] = f"B:USR1@{options.get('signal_delay_s') or _warning_s(options)}"
    return flags


def retry_lines(options: Mapping[str, Any]) -> list[str]:
    """Tell the worker the policy."""
    policy = options.get("retry")
    return [f"export {POLICY}={shlex.quote(json.dumps(policy))}"] if policy else []


def warning_lines(options: Mapping[str, Any]) -> list[str]:
    """Where bash waits for the step and not the worker: end it when Slurm warns the script."""
    if "timeout" not in (options.get("retry") or {}):
        return []
    does = f'export {OUT_OF_TIME}=1; kill -s TERM "$planit_child" 2> /dev/null'
    return [f"trap {shlex.quote(does)} USR1"]


def _warning_s(options: Mapping[str, Any]) -> int:
    wall_s = parse(options["time"]).total_seconds()
    return int(max(_MIN_WARNING_S, min(_MAX_WARNING_S, wall_s * _PART)))
