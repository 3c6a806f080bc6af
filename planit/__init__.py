"""planit: declaratively build workflow DAGs for SLURM clusters."""

from planit.errors import (
    ConfigError,
    PlanError,
    PlanitError,
    RunError,
    SchedulerError,
    StepsFailedError,
    SubmissionError,
)
from planit.nodes import Chain, Command, MailType, Node, Parallel, SlurmArgs, Step
from planit.plan import Plan

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
    "RunError",
    "SchedulerError",
    "SlurmArgs",
    "Step",
    "StepsFailedError",
    "SubmissionError",
]
