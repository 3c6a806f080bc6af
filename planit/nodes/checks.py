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


def check_flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise PlanError(f"{name} must be true or false, not {value!r}")


def check_gpus(name: str, value: str) -> None:
    if not re.fullmatch(r"[A-Za-z][\w.-]*:[1-9]\d*", value):
        raise PlanError(f"{name} must be a whole number or TYPE:NUMBER, not {value!r}")


def check_memory(name: str, value: Any) -> None:
    if not isinstance(value, str) or not re.fullmatch(r"[1-9]\d*[KMGT]B?", value, re.IGNORECASE):
        raise PlanError(f"{name} must be a number with its unit, such as 4G, not {value!r}")


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
        "chdir",
        "dependency",
        "error",
        "gid",
        "help",
        "hold",
        "kill-on-invalid-dep",
        "open-mode",
        "output",
        "parsable",
        "test-only",
        "uid",
        "usage",
        "version",
        "wait",
        "wrap",
    }
)
# Options that planit reads too. sbatch takes their short names (but not as submitit writes them,
# with two dashes) and completes any other beginning of their names, unseen by planit.
_SHORT = {
    "A": "account",
    "C": "constraint",
    "G": "gpus",
    "J": "job-name",
    "M": "clusters",
    "N": "nodes",
    "c": "cpus-per-task",
    "n": "ntasks",
    "p": "partition",
    "q": "qos",
    "t": "time",
    "w": "nodelist",
    "x": "exclude",
}
_READ = (
    "cluster", "clusters", "comment", "cpus-per-gpu", "cpus-per-task", "gpus", "gpus-per-node",
    "gpus-per-task", "gres", "job-name", "mem", "mem-per-cpu", "mem-per-gpu", "nodes", "ntasks",
    "ntasks-per-gpu", "ntasks-per-node", "partition", "signal", "tasks-per-node", "time",
)  # fmt: skip
_COUNTS = ("ntasks", "ntasks_per_gpu", "ntasks_per_node", "tasks_per_node")
_ALSO = {"cluster": "clusters", "tasks_per_node": "ntasks_per_node"}  # sbatch takes both


def check_additional(name: str, value: Any) -> dict[str, Any]:
    """Further options of sbatch, under their names with underscores. Raises PlanError."""
    if not isinstance(value, Mapping):
        raise PlanError(f"{name} must be a mapping of sbatch options, not {value!r}")
    for flag, setting in value.items():
        if not isinstance(flag, str) or not _FLAG.fullmatch(flag):
            raise PlanError(f"{name}: {flag!r} is not an sbatch option", hint="write it without --")
        _refuse_shortened(name, flag)
        if any(own.startswith(flag.replace("_", "-")) for own in _OWN_FLAGS):  # sbatch completes
            hint = "the field workdir does that" if flag == "chdir" else "remove it"
            raise PlanError(f"{name}: {flag!r} is set by planit itself", hint=hint)
        if isinstance(setting, str) and not setting.isprintable():
            raise PlanError(f"{name}.{flag} {setting!r} has control characters")
        if flag.replace("-", "_") in _COUNTS and setting is not None:
            digits = isinstance(setting, str) and setting.isdecimal()
            check_count(f"{name}.{flag}", int(setting) if digits else setting)
    options: dict[str, Any] = {}
    for flag, setting in value.items():
        plain = flag.replace("-", "_")
        plain = _ALSO.get(plain, plain)
        if plain in options:
            raise PlanError(f"{name} has {plain!r} twice", hint="keep one of them")
        options[plain] = setting
    if options.get("clusters") is not None:
        check_cluster(f"{name}.clusters", options["clusters"])
    return options


def _refuse_shortened(name: str, flag: str) -> None:
    plain = flag.replace("_", "-")
    if plain in _READ:
        return
    completed = [one for one in _READ if one.startswith(plain)]
    whole = [_SHORT[flag]] if flag in _SHORT else completed
    if whole:
        hint = f"write {' or '.join(whole)}"
        raise PlanError(f"{name}: {flag!r} is not an option's whole name", hint=hint)


def check_own(name: str, option: str, value: Any) -> None:
    """A parameter of submitit's that is not an option of sbatch. Raises PlanError."""
    if option == "array_parallelism":
        check_count(name, value)
    if option == "stderr_to_stdout" and value is not True:
        raise PlanError(
            f"{name}: {value!r} is not possible: what a step writes goes to one log",
            hint="remove it",
        )


def check_cluster(name: str, value: Any) -> None:
    """One cluster: where Slurm may choose, a dependency could lead to a job on another one."""
    check_text(name, value)
    if "," in value or value == "all":
        raise PlanError(f"{name} {value!r} is more than one cluster", hint="name a single one")
