"""What a step asks of Slurm: `SlurmArgs`, or a dict that submitit understands.

Both are turned into one `Resources` value, whose `options` use the names of submitit's
`SlurmExecutor` parameters ("time", "gpus_per_node", "additional_parameters", ...) and hold only
what the user set.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from typing import Any, TypeAlias

from planit.errors import PlanError, suggest
from planit.nodes import walltime


class MailType(enum.StrEnum):
    """When Slurm sends mail (sbatch manual, "--mail-type")."""

    NONE = "NONE"
    BEGIN = "BEGIN"
    END = "END"
    FAIL = "FAIL"
    REQUEUE = "REQUEUE"
    ALL = "ALL"
    INVALID_DEPEND = "INVALID_DEPEND"
    STAGE_OUT = "STAGE_OUT"
    TIME_LIMIT = "TIME_LIMIT"
    TIME_LIMIT_90 = "TIME_LIMIT_90"
    TIME_LIMIT_80 = "TIME_LIMIT_80"
    TIME_LIMIT_50 = "TIME_LIMIT_50"
    ARRAY_TASKS = "ARRAY_TASKS"


@dataclass(frozen=True)
class SlurmArgs:
    """The SLURM parameters of a step, valid from the moment they exist.

    Args:
        time: wall time as text, in any form that sbatch accepts; see `planit.nodes.walltime`.
        partition: SLURM partition.
        gpus_per_node: GPUs on each node; 0 asks for none.
        nodes: number of nodes.
        cpus_per_task: CPUs of each task.
        cpus_per_gpu: CPUs that come with each GPU.
        mem_gb: memory of each node in GB.
        account: account to charge.
        cluster: cluster to submit to (sbatch's ``--clusters``).
        mail_type: the events that send mail; names as text are accepted too.
        mail_user: who gets the mail.
        additional_params: more sbatch options by name, for instance ``{"constraint": "a100"}``
            (submitit's ``slurm_additional_parameters``).
        setup: shell lines that run before the step; one that fails fails the step.
        max_requeues: how often a step that can checkpoint (`submitit.helpers.Checkpointable`) is
            requeued when its wall time is used up.

    Raises:
        PlanError: names the field, its value and what would be right.
    """

    time: str
    partition: str
    gpus_per_node: int = 0
    nodes: int = 1
    cpus_per_task: int | None = None
    cpus_per_gpu: int | None = None
    mem_gb: int | None = None
    account: str | None = None
    cluster: str | None = None
    mail_type: list[MailType] = field(default_factory=list)
    mail_user: str | None = None
    additional_params: dict[str, Any] = field(default_factory=dict)
    setup: list[str] = field(default_factory=list)
    max_requeues: int = 0

    def __post_init__(self) -> None:
        walltime.parse(self.time, "time")
        _check_text("partition", self.partition)
        for name in ("account", "mail_user"):
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name))
        if self.cluster is not None:
            _check_cluster("cluster", self.cluster)
        _check_count("gpus_per_node", self.gpus_per_node, least=0)
        _check_count("nodes", self.nodes)
        _check_count("max_requeues", self.max_requeues, least=0)
        for name in ("cpus_per_task", "cpus_per_gpu", "mem_gb"):
            if getattr(self, name) is not None:
                _check_count(name, getattr(self, name))
        object.__setattr__(self, "mail_type", _mail_types(self.mail_type))
        object.__setattr__(self, "setup", _setup_lines("setup", self.setup))
        object.__setattr__(
            self,
            "additional_params",
            _check_additional("additional_params", self.additional_params),
        )

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> SlurmArgs:
        """`SlurmArgs(**fields)`, with one clear error for unknown and missing fields."""
        known = [f.name for f in dataclasses.fields(cls)]
        for name in fields:
            if name not in known:
                raise PlanError(f"SlurmArgs has no field {name!r}", hint=suggest(str(name), known))
        for name in ("time", "partition"):
            if name not in fields:
                raise PlanError(f"SlurmArgs needs {name!r}", hint=f"set {name}")
        return cls(**fields)

    @cached_property
    def resources(self) -> Resources:
        """These arguments as submission parameters, without whatever stands at its default."""
        options: dict[str, Any] = {"time": self.time, "partition": self.partition}
        if self.gpus_per_node:
            options["gpus_per_node"] = self.gpus_per_node
        if self.nodes != 1:
            options["nodes"] = self.nodes
        for name in ("cpus_per_task", "cpus_per_gpu", "account", "mail_user"):
            if (value := getattr(self, name)) is not None:
                options[name] = value
        if self.mem_gb is not None:
            options["mem"] = f"{self.mem_gb}GB"
        if self.mail_type:
            options["mail_type"] = ",".join(self.mail_type)
        if self.setup:
            options["setup"] = list(self.setup)
        if self.max_requeues:
            options["max_requeues"] = self.max_requeues
        additional = dict(self.additional_params)
        if self.cluster is not None:
            additional["clusters"] = self.cluster
        if additional:
            options["additional_parameters"] = additional
        return Resources(options)


SlurmSpec: TypeAlias = SlurmArgs | Mapping[str, Any]
"""What a step takes for its SLURM parameters."""


@dataclass(frozen=True)
class Resources:
    """Submission parameters under submitit's names; only what the user set."""

    options: dict[str, Any]

    @cached_property
    def time(self) -> timedelta:
        return walltime.parse(self.options["time"])

    @property
    def time_text(self) -> str:
        """The wall time as the user wrote it."""
        return str(self.options["time"])

    @property
    def cluster(self) -> str | None:
        """The cluster by name, or None for the default one."""
        value = self.options.get("additional_parameters", {}).get("clusters")
        return None if value is None else str(value)

    @cached_property
    def key(self) -> str:
        """Equal for equal parameters; what decides whether two steps can share an array."""
        return repr(sorted(self.options.items(), key=lambda item: item[0]))


def resources_of(slurm_args: SlurmSpec) -> Resources:
    """The submission parameters in `slurm_args`; never modifies it.

    Raises:
        PlanError: neither SlurmArgs nor a dict, no ``slurm_time``, or a key that submitit's Slurm
            executor would not take.
    """
    if isinstance(slurm_args, SlurmArgs):
        return slurm_args.resources
    if not isinstance(slurm_args, Mapping):
        raise PlanError(
            f"slurm_args must be SlurmArgs or a dict, not {type(slurm_args).__name__}",
            hint="the order is Step(name, func, slurm_args, *args, **kwargs)",
        )
    if "slurm_time" not in slurm_args:
        raise PlanError('a dict of SLURM arguments needs "slurm_time"', hint="add the wall time")
    options: dict[str, Any] = {}
    for key, value in slurm_args.items():
        if value is not None:
            name = _canonical(str(key))
            options[name] = _canonical_value(str(key), name, copy.deepcopy(value))
    walltime.parse(options.get("time"), "slurm_time")
    return Resources(options)


def changed(resources: Resources, fields: Mapping[str, Any]) -> Resources:
    """`resources` with some `SlurmArgs` fields set anew.

    Raises:
        PlanError: an unknown field, or a value that SlurmArgs refuses.
    """
    needed = {"time": resources.options["time"], "partition": "unchanged"}
    new = SlurmArgs.from_mapping({**needed, **fields}).resources.options
    new = {name: value for name, value in new.items() if name in fields or name not in needed}
    options = {**resources.options, **new}
    for name, default in (("gpus_per_node", 0), ("nodes", 1), ("max_requeues", 0)):
        if fields.get(name, None) == default:
            options.pop(name, None)
    more = "additional_parameters"
    if new.get(more) and resources.options.get(more):
        options[more] = {**resources.options[more], **new[more]}
    return Resources(options)


# Generic names of submitit's AutoExecutor -> names of its SlurmExecutor.
_GENERIC = {
    "name": "job_name",
    "mem_gb": "mem",
    "nodes": "nodes",
    "cpus_per_task": "cpus_per_task",
    "gpus_per_node": "gpus_per_node",
    "tasks_per_node": "ntasks_per_node",
    "timeout_min": "time",
    "stderr_to_stdout": "stderr_to_stdout",
    "max_requeues": "max_requeues",
}
# Parameters of submitit's SlurmExecutor that make sense for a step of a plan. "dependency" and
# "array_parallelism" are planit's own business.
KNOWN_OPTIONS = frozenset(
    {
        "job_name",
        "partition",
        "time",
        "nodes",
        "ntasks_per_node",
        "cpus_per_task",
        "cpus_per_gpu",
        "gpus_per_node",
        "gpus_per_task",
        "qos",
        "setup",
        "teardown",
        "mem",
        "mem_per_gpu",
        "mem_per_cpu",
        "signal_delay_s",
        "comment",
        "constraint",
        "exclude",
        "account",
        "gres",
        "mail_type",
        "mail_user",
        "nodelist",
        "exclusive",
        "wckey",
        "stderr_to_stdout",
        "additional_parameters",
        "srun_args",
        "use_srun",
    }
)


def _canonical(key: str) -> str:
    if key in _GENERIC:
        return _GENERIC[key]
    bare = key.removeprefix("slurm_")
    if bare != key:
        bare = _GENERIC.get(bare, bare)
        if bare in KNOWN_OPTIONS:
            return bare
    known = sorted({*_GENERIC, *(f"slurm_{name}" for name in KNOWN_OPTIONS)} - {"timeout_min"})
    raise PlanError(f"unknown SLURM argument {key!r}", hint=suggest(key, known))


def _canonical_value(key: str, name: str, value: Any) -> Any:
    if name == "mem" and isinstance(value, int | float) and not isinstance(value, bool):
        return f"{int(value)}GB" if value == int(value) else f"{int(value * 1024)}MB"
    if name in ("setup", "teardown"):
        return _setup_lines(key, value)
    if name == "additional_parameters":
        return _check_additional(key, value)
    if isinstance(value, str) and (value or name != "comment"):
        _check_text(key, value)
    return value


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip():
        raise PlanError(f"{name} must be non-empty text, not {value!r}", hint=f"set {name}")
    if not value.isprintable():
        raise PlanError(f"{name} {value!r} has control characters", hint="remove them")


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise PlanError(f"{name} must be a whole number of at least {least}, not {value!r}")


def _mail_types(values: Any) -> list[MailType]:
    if isinstance(values, str):
        values = values.split(",")
    try:
        return [MailType(str(value).strip().upper()) for value in values]
    except (ValueError, TypeError):
        known = ", ".join(MailType)
        raise PlanError(f"mail_type {values!r} is not valid", hint=f"known: {known}") from None


def _setup_lines(name: str, value: Any) -> list[str]:
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


def _check_additional(name: str, value: Any) -> dict[str, Any]:
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
        _check_cluster(f"{name}.clusters", options["clusters"])
    return options


def _check_cluster(name: str, value: Any) -> None:
    """One cluster: where Slurm may choose, a dependency could lead to a job on another one."""
    _check_text(name, value)
    if "," in value or value == "all":
        raise PlanError(f"{name} {value!r} is more than one cluster", hint="name a single one")
