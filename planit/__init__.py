"""planit: declaratively build workflow DAGs for SLURM clusters."""

from typing import TYPE_CHECKING, Any

from planit.errors import (
    ConfigError,
    PlanError,
    PlanitError,
    RunError,
    SchedulerError,
    StepsFailedError,
    SubmissionError,
)
from planit.nodes import Chain, Command, MailType, Node, Parallel, SlurmArgs, Step, Sweep
from planit.plan import Plan

if TYPE_CHECKING:
    from planit.run import Run

__all__ = [
    "Chain",
    "Command",
    "ConfigError",
    "MailType",
    "Node",
    "Parallel",
    "Plan",
    "PlanError",
    "PlanitError",
    "Run",
    "RunError",
    "SchedulerError",
    "SlurmArgs",
    "Step",
    "StepsFailedError",
    "SubmissionError",
    "Sweep",
]


def __getattr__(name: str) -> Any:
    """`Run` brings submitit along, and is loaded when it is asked for."""
    if name == "Run":
        from planit.run import Run

        return Run
    raise AttributeError(f"module 'planit' has no attribute {name!r}")
