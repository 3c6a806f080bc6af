"""What the user writes: pure values that import, submit and schedule nothing."""

from planit.nodes.command_step import Command
from planit.nodes.functions import Function
from planit.nodes.hydra_app import HydraApp
from planit.nodes.packed import Packed
from planit.nodes.resources import Resources
from planit.nodes.slurm_args import MailType, SlurmArgs, SlurmSpec
from planit.nodes.sweep import Sweep
from planit.nodes.tree import (
    Chain,
    Group,
    Node,
    Origin,
    Parallel,
    Step,
    Task,
    check_unique_names,
    tasks,
)

__all__ = [
    "Chain",
    "Command",
    "Function",
    "Group",
    "HydraApp",
    "MailType",
    "Node",
    "Origin",
    "Packed",
    "Parallel",
    "Resources",
    "SlurmArgs",
    "SlurmSpec",
    "Step",
    "Sweep",
    "Task",
    "check_unique_names",
    "tasks",
]
