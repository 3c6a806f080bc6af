"""Checks of single SLURM values; each error names the field and what would be right."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from planit.errors import PlanError


def check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise PlanError(f"{name} must be non-empty text, not {value!r}", hint=f"set {name}")
    if not value.isprintable():
        raise PlanError(f"{name} {value!r} has control characters", hint="remove them")


def check_count(name: str, value: Any, minimum: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise PlanError(f"{name} must be a whole number of at least {minimum}, not {value!r}")


def setup_lines(name: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return value.splitlines()
    if not isinstance(value, list | tuple) or not all(isinstance(line, str) for line in value):
        raise PlanError(f"{name} must be a list of shell lines, not {value!r}")
    return list(value)


_FLAG = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
# What planit sets itself; a second value would break the order or lose the log.
_OWN_FLAGS = frozenset(
    {
        "array",
        "dependency",
        "error",
        "hold",
        "kill-on-invalid-dep",
        "output",
        "parsable",
        "test-only",
        "wait",
        "wrap",
    }
)


def check_additional(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise PlanError(f"{name} must be a mapping of sbatch options, not {value!r}")
    for flag, setting in value.items():
        if not isinstance(flag, str) or not _FLAG.fullmatch(flag):
            raise PlanError(f"{name}: {flag!r} is not an sbatch option", hint="write it without --")
        if any(own.startswith(flag.replace("_", "-")) for own in _OWN_FLAGS):  # sbatch completes
            raise PlanError(f"{name}: {flag!r} is set by planit itself", hint="remove it")
        if isinstance(setting, str) and not setting.isprintable():
            raise PlanError(f"{name}.{flag} {setting!r} has control characters")
    options = dict(value)
    if "cluster" in options:  # sbatch takes both spellings
        options["clusters"] = options.pop("cluster")
    if options.get("clusters") is not None:
        check_cluster(f"{name}.clusters", options["clusters"])
    return options


def check_cluster(name: str, value: Any) -> None:
    """One cluster: where Slurm may choose, a dependency could lead to a job on another one."""
    check_text(name, value)
    if "," in value or value == "all":
        raise PlanError(f"{name} {value!r} is more than one cluster", hint="name a single one")
