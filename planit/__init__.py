"""planit: declaratively build workflow DAGs for SLURM clusters.

The public names are loaded when they are asked for: the worker in every job imports this package
too, and needs none of them.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planit.errors import (
        ConfigError,
        PlanError,
        PlanitError,
        RunError,
        SchedulerError,
        StepsFailedError,
        SubmissionError,
    )
    from planit.job.standing import current
    from planit.nodes import (
        Chain,
        Command,
        HydraApp,
        MailType,
        Node,
        Packed,
        Parallel,
        SlurmArgs,
        Step,
        Sweep,
    )
    from planit.plan import Plan
    from planit.run import Run

    __version__: str

__all__ = [
    "Chain",
    "Command",
    "ConfigError",
    "HydraApp",
    "MailType",
    "Node",
    "Packed",
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
    "__version__",
    "current",
]

_ELSEWHERE = {"Plan": "planit.plan", "Run": "planit.run", "current": "planit.job.standing"}


def __getattr__(name: str) -> Any:
    """Load a public name (PEP 562)."""
    import importlib

    if name not in __all__:
        raise AttributeError(f"module 'planit' has no attribute {name!r}")
    if name == "__version__":
        value = _version()
    else:
        default = "planit.errors" if name.endswith("Error") else "planit.nodes"
        value = getattr(importlib.import_module(_ELSEWHERE.get(name, default)), name)
    globals()[name] = value
    return value


def _version() -> str:
    """The version of the installed distribution; "unknown" in a checkout that is not installed."""
    from importlib import metadata

    try:
        return metadata.version("planit-slurm")
    except metadata.PackageNotFoundError:
        return "unknown"


def __dir__() -> list[str]:
    return __all__
