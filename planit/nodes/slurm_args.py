"""What a step asks of Slurm: `SlurmArgs`, or a dict that submitit understands.

Both are turned into one `Resources` value, whose `options` use the names of submitit's
`SlurmExecutor` parameters ("time", "gpus_per_node", "additional_parameters", ...) and hold only
what the user set.
"""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from planit.errors import PlanError, suggest
from planit.nodes import walltime
from planit.nodes.checks import (
    check_additional,
    check_cluster,
    check_count,
    check_flag,
    check_gpus,
    check_memory,
    check_text,
)
from planit.nodes.flags import MEMORY, flags_of, on_top, refuse_contradictions
from planit.nodes.flags import MORE as _MORE
from planit.nodes.resources import GENERIC, Resources, as_options, option_name
from planit.nodes.step_environment import ENVIRONMENT, check_step_environment, combined


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


MINIMA = {
    "gpus_per_node": 0, "nodes": 1, "cpus_per_task": 1, "cpus_per_gpu": 1, "mem_gb": 1,
    "max_requeues": 0, "tasks_per_node": 1,
}  # fmt: skip
"""The smallest value of each field of `SlurmArgs` that is a number."""

TEXTS = (
    "qos", "constraint", "gres", "mem_per_cpu", "mem_per_gpu", "exclude", "nodelist",
    "reservation", "signal", "switches", "begin", "licenses",
)  # fmt: skip
"""The fields of `SlurmArgs` that are options of sbatch as they are."""


@dataclass(frozen=True)
class SlurmArgs:
    """The SLURM parameters of a step, valid from the moment they exist.

    Args:
        time: wall time as text, in any form that sbatch accepts; see `planit.nodes.walltime`.
        partition: SLURM partition, or several, of which Slurm takes one: ``"gpu,gpu_long"``.
        gpus_per_node: GPUs on each node, also with their type: ``"a100:2"``; 0 asks for none.
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
            requeued when it has exceeded its time limit.
        qos: quality of service (sbatch's ``--qos``).
        tasks_per_node: Slurm tasks on each node; the step's function runs in each of them.
        constraint: features that the nodes must have, such as ``"a100&nvlink"``.
        gres: generic resources of each node, such as ``"gpu:a100:2,shard:1"``.
        mem_per_cpu: memory of each CPU with its unit, such as ``"4G"``, instead of `mem_gb`.
        mem_per_gpu: memory of each GPU with its unit, instead of `mem_gb`.
        exclude: nodes not to use, such as ``"n[1-3],n7"``.
        nodelist: nodes to use.
        reservation: reservation to use.
        exclusive: whether the job shares its nodes with no other one.
        signal: signal before the end of the wall time, such as ``"USR1@60"``.
        switches: most switches of the network, and how long to wait for them, as in ``"1@60"``.
        begin: earliest start, such as ``"now+1hour"`` or ``"2027-01-20T12:00:00"``.
        licenses: licenses, such as ``"matlab:1"``.
        modules: modules that are loaded in the job, in order.
        venv: folder of the virtual environment whose Python runs the step.
        conda: name or folder of the conda environment whose Python runs the step.
        container: image that the step runs in, or a mapping with ``image``, ``runtime``
            (apptainer, singularity or pyxis), ``mounts``, ``nv`` and further ``args``.
        env: variables of the step's environment.
        workdir: working directory of the step.
        srun_args: further options of the srun that starts the step.
        python: shell words that start the step's Python.

    Raises:
        PlanError: names the field, its value and what would be right.
    """

    time: str
    partition: str
    gpus_per_node: int | str = 0
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
    qos: str | None = None
    tasks_per_node: int | None = None
    constraint: str | None = None
    gres: str | None = None
    mem_per_cpu: str | None = None
    mem_per_gpu: str | None = None
    exclude: str | None = None
    nodelist: str | None = None
    reservation: str | None = None
    exclusive: bool = False
    signal: str | None = None
    switches: str | None = None
    begin: str | None = None
    licenses: str | None = None
    modules: list[str] = field(default_factory=list)
    venv: str | None = None
    conda: str | None = None
    container: Any = None
    env: dict[str, str] = field(default_factory=dict)
    workdir: str | None = None
    srun_args: list[str] = field(default_factory=list)
    python: str | None = None

    def __post_init__(self) -> None:
        walltime.parse(self.time, "time")
        check_text("partition", self.partition)
        for name in ("account", "mail_user", *TEXTS):
            if getattr(self, name) is not None:
                check_text(name, getattr(self, name))
        for name in ("mem_per_cpu", "mem_per_gpu"):
            if getattr(self, name) is not None:
                check_memory(name, getattr(self, name))
        if self.cluster is not None:
            check_cluster("cluster", self.cluster)
        check_flag("exclusive", self.exclusive)
        for name, minimum in MINIMA.items():
            value = getattr(self, name)
            if name == "gpus_per_node" and isinstance(value, str):
                check_gpus(name, value)
            elif value is not None or getattr(SlurmArgs, name) is not None:
                check_count(name, value, minimum=minimum)
        checked: dict[str, Any] = {name: getattr(self, name) for name in ENVIRONMENT}
        check_step_environment(checked)
        checked["mail_type"] = _mail_types(self.mail_type)
        more = check_additional("additional_params", self.additional_params)
        for name, value in {**checked, "additional_params": more}.items():
            object.__setattr__(self, name, value)
        own = {**self.resources.options, "clusters": self.cluster, _MORE: self.additional_params}
        refuse_contradictions("additional_params", own)

    @classmethod
    def from_mapping(cls, fields: Mapping[str, Any]) -> SlurmArgs:
        """`SlurmArgs(**fields)`, where None is a field that is not set.

        Raises:
            PlanError: an unknown or a missing field, or a value that SlurmArgs refuses.
        """
        for name in fields:
            if name not in _FIELDS:
                raise PlanError(
                    f"SlurmArgs has no field {name!r}", hint=suggest(str(name), _FIELDS)
                )
        given = {name: value for name, value in fields.items() if value is not None}
        for name in ("time", "partition"):
            if name not in given:
                raise PlanError(f"SlurmArgs needs {name!r}", hint=f"set {name}")
        return cls(**given)

    @cached_property
    def resources(self) -> Resources:
        """These arguments as submission parameters, without whatever stands at its default."""
        options: dict[str, Any] = {"time": self.time, "partition": self.partition}
        if self.gpus_per_node:
            options["gpus_per_node"] = self.gpus_per_node
        if self.nodes != 1:
            options["nodes"] = self.nodes
        if self.tasks_per_node is not None:
            options["ntasks_per_node"] = self.tasks_per_node
        for name in ("cpus_per_task", "cpus_per_gpu", "account", "mail_user", *TEXTS):
            if (value := getattr(self, name)) is not None:
                options[name] = value
        for name in ("exclusive", "max_requeues", *ENVIRONMENT):
            if value := getattr(self, name):
                options[name] = copy.deepcopy(value)
        if self.mem_gb is not None:
            options["mem"] = f"{self.mem_gb}GB"
        if self.mail_type:
            options["mail_type"] = ",".join(self.mail_type)
        additional = dict(self.additional_params)
        if self.cluster is not None:
            additional["clusters"] = self.cluster
        if additional:
            options[_MORE] = additional
        return Resources(options)


_FIELDS = tuple(field.name for field in dataclasses.fields(SlurmArgs))
# The option that a field becomes, where it is called otherwise.
_OPTIONS = {
    "mem_gb": "mem", "tasks_per_node": "ntasks_per_node",
    "additional_params": _MORE, "cluster": _MORE,
}  # fmt: skip

SlurmSpec: TypeAlias = SlurmArgs | Mapping[str, Any]
"""What a step takes for its SLURM parameters."""


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
    return Resources.from_dict(slurm_args)


def changed(resources: Resources, fields: Mapping[str, Any]) -> Resources:
    """`resources` with some fields set anew.

    Args:
        resources: the parameters so far.
        fields: fields of `SlurmArgs`, or submitit's names for them, such as ``slurm_qos``. None
            unsets a field. Of ``additional_params``, ``env`` and ``container`` what is given is
            set, the rest stays.

    Raises:
        PlanError: an unknown field, a value that is refused, or no wall time.
    """
    fields = combined(resources.options, fields)
    submitits = {name: value for name, value in fields.items() if is_submitits(name)}
    own = {name: value for name, value in fields.items() if name not in submitits}
    names = {_OPTIONS.get(name, name) for name in own}
    needed = {"time": resources.time_text, "partition": "unchanged"}
    valid = SlurmArgs.from_mapping({**needed, **own}).resources.options
    new = {name: value for name, value in valid.items() if name in names} | as_options(submitits)
    names |= set(map(option_name, submitits))
    if MEMORY & flags_of(new).keys():  # sbatch takes one of them
        names |= MEMORY
    before = {name: value for name, value in resources.options.items() if name not in names}
    more = {n: v for n, v in resources.options.get(_MORE, {}).items() if n not in names}
    options = on_top({**before, _MORE: _kept(more, fields)}, new)
    options[_MORE] = {n: v for n, v in options.get(_MORE, {}).items() if v is not None}
    if not options[_MORE]:
        del options[_MORE]
    walltime.parse(options.get("time"), "time")
    return Resources(options)


def _kept(before: Mapping[str, Any], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The further options `before` without those that `fields` unset as a whole."""
    unset = {name for name, value in fields.items() if value is None}
    if f"slurm_{_MORE}" in unset:
        before = {}
    if "additional_params" in unset:  # a cluster is a field of its own
        before = {name: before[name] for name in ("clusters",) if name in before}
    if "cluster" in fields:
        before = {name: value for name, value in before.items() if name != "clusters"}
    return before


def is_submitits(name: str) -> bool:
    """Whether a field is called as submitit calls it, and not as SlurmArgs."""
    return name not in _FIELDS and (name.startswith("slurm_") or name in GENERIC)


def _mail_types(values: Any) -> list[MailType]:
    if isinstance(values, str):
        values = values.split(",")
    try:
        return [MailType(str(value).strip().upper()) for value in values]
    except (ValueError, TypeError):
        known = ", ".join(MailType)
        raise PlanError(f"mail_type {values!r} is not valid", hint=f"known: {known}") from None
