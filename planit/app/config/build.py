"""From a composed configuration to a `Plan`.

A plan in YAML is nested ``_target_`` nodes. Its steps are named in ``steps``, so that the command
line can address them, and ``root`` refers to them by name. Building imports and runs nothing of the
user's: a step's ``func`` stays a dotted path until the plan is checked, and its arguments stay
plain data until the job makes them, as `hydra.utils.instantiate` would.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from planit.app.config.node_keys import (
    EVERY_LEAF,
    GROUPS,
    HYDRAS_OWN,
    LEAVES,
    PLAN_KEYS,
    WITHOUT_ARGUMENTS,
    is_private,
)
from planit.app.config.presets import MISSING, completed
from planit.errors import ConfigError, PlanError, suggest
from planit.nodes import (
    Chain,
    Command,
    HydraApp,
    Node,
    Origin,
    Packed,
    Parallel,
    SlurmArgs,
    Step,
    Sweep,
    tasks,
)
from planit.nodes.arguments import IN_JOB, TARGET, Making, Unbuilt, has_target
from planit.nodes.functions import is_dotted_path
from planit.nodes.named import not_named
from planit.nodes.slurm_args import SlurmSpec
from planit.plan import Plan

logger = logging.getLogger("planit")

Presets = Callable[[str], tuple[str | None, Mapping[str, Any]]]
"""Finds SLURM arguments by name, and the configuration's key for them, if they are not a file's."""

Swept = Callable[[str, str], list[Any]]
"""Reads Hydra's sweep syntax: the text and the key that it is for."""

_CLASSES: dict[str, Callable[..., Node]] = {
    "Step": Step,
    "Command": Command,
    "HydraApp": lambda name, slurm_args, **own: HydraApp(name, slurm_args=slurm_args, **own),
    "Sweep": Sweep,
}

_OF_JOB = re.compile(re.escape(IN_JOB) + r"[\w.]*\}")
_ONLY_ARGUMENTS = "a _target_ is built in the arguments of functions only"


@dataclass
class Builder:
    """Builds plans from plain (resolved) content; what several plans share is built once.

    Attributes:
        presets: looks SLURM arguments up by name.
        swept: reads Hydra's sweep syntax in a Sweep.
        defaults: SLURM arguments that hold wherever a step's do not say otherwise.
    """

    presets: Presets
    swept: Swept
    defaults: Mapping[str, Any] = field(default_factory=dict)
    steps: Mapping[str, Any] = field(default_factory=dict)
    preset_keys: Mapping[str, str] = field(default_factory=dict)
    slurm: dict[str, SlurmArgs] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)
    told: set[str] = field(default_factory=set)
    made: dict[int, tuple[Any, Node]] = field(default_factory=dict)
    unbuilt: dict[int, Unbuilt] = field(default_factory=dict)

    def plan(self, config: Mapping[str, Any], preset_keys: Mapping[str, str]) -> Plan:
        """Build the plan from the content of the config key ``plan``.

        Args:
            config: the content.
            preset_keys: the key that each step's SLURM arguments come from, by the step's place.

        Raises:
            ConfigError: with the config key of whatever is wrong.
        """
        for key in ("name", "root"):
            if config.get(key) is None:
                raise ConfigError(
                    f"plan has no {key}", hint=f"set plan.{key}; see conf/plan/thesis.yaml"
                )
        if _kind(config, "Plan") != "Plan":
            raise ConfigError(f"plan: {config[TARGET]} is not planit.Plan")
        self.preset_keys = preset_keys
        self.steps = config.get("steps") or {}
        if not isinstance(self.steps, Mapping):
            raise ConfigError("plan.steps must map names to steps")
        for key in config:
            if key not in PLAN_KEYS and not is_private(key):
                hint = suggest(key, PLAN_KEYS)
                raise ConfigError(f"plan.{key} is not a part of a plan", hint=hint)
        self.refuse_half_steps()
        self.named = set()
        root = self.node(config["root"], "plan.root")
        self.tell_unnamed()
        with _refusing("plan: "):
            return Plan(str(config["name"]), root)

    def refuse_half_steps(self) -> None:
        """An override of a step that does not exist makes a step with nothing but that value."""
        whole = [n for n, s in self.steps.items() if isinstance(s, Mapping) and set(s) - {"slurm"}]
        for name in self.steps:
            if name not in whole:
                raise ConfigError(f"plan.steps has no step {name!r}", hint=suggest(name, whole))

    def tell_unnamed(self) -> None:
        """Warn, once, of the steps that the root does not name: they are not run."""
        unnamed = [name for name in self.steps if name not in self.named | self.told]
        if unnamed:
            self.told.update(unnamed)
            logger.warning("warning: %s", not_named(unnamed, "plan.root", "plan.steps"))

    def node(self, value: Any, where: str) -> Node:
        if isinstance(value, Node):
            return value
        if isinstance(value, str):
            if value not in self.steps:
                raise ConfigError(
                    f"{where}: plan.steps has no step {value!r}", hint=suggest(value, self.steps)
                )
            self.named.add(value)
            return self.step(value)
        return self.node_of(value, where, None)

    def step(self, name: str) -> Node:
        """The step of a name; a step whose content is the very same object is built once."""
        content = self.steps[name]
        if id(content) not in self.made:
            self.made[id(content)] = (content, self.node_of(content, f"plan.steps.{name}", name))
        return self.made[id(content)][1]

    def node_of(self, value: Any, where: str, name: str | None) -> Node:
        if not isinstance(value, Mapping):
            raise ConfigError(
                f"{where}: a node is expected, not {value!r}",
                hint="name a step of plan.steps, or give a _target_ such as planit.Chain",
            )
        kind = _kind(value, "Step" if name is not None or "func" in value else None)
        if kind in GROUPS:
            return self.group(kind, value, where)
        if kind in LEAVES:
            return self.leaf(kind, value, where, name)
        if kind is None and value.get(TARGET) is not None:
            return self.leaf("Step", _with_func(value, where, name), where, name)
        raise ConfigError(
            f"{where}: {value.get(TARGET, 'a mapping without _target_')} is not a node",
            hint="nodes are planit.Step, Command, HydraApp, Sweep, Chain, Parallel and Packed",
        )

    def group(self, kind: str, value: Mapping[str, Any], where: str) -> Node:
        known = {"_target_", "_args_", *GROUPS[kind]}
        extra = sorted(map(str, set(value) - known))
        if extra:
            raise ConfigError(f"{where}: {kind} has no {extra[0]!r}", hint="its nodes go in _args_")
        children = value.get("_args_") or []
        if not isinstance(children, list):
            raise ConfigError(f"{where}._args_ must be a list of nodes")
        nodes = [self.node(child, f"{where}._args_[{i}]") for i, child in enumerate(children)]
        if kind == "Packed":
            return self.packed(value, nodes, where)
        limit = value.get("max_concurrent")
        with _refusing(f"{where}: "):
            return Chain(*nodes) if kind == "Chain" else Parallel(*nodes, max_concurrent=limit)

    def packed(self, value: Mapping[str, Any], nodes: list[Node], where: str) -> Node:
        if len(nodes) != 1:
            hint = "for several: a planit.Parallel, or a planit.Chain"
            raise ConfigError(f"{where}._args_: Packed takes one node, not {len(nodes)}", hint=hint)
        if value.get("slurm_args") is None:
            raise ConfigError(f"{where}: Packed has no slurm_args", hint=f"set {where}.slurm_args")
        changes = value.get("slurm") or {}
        preset, job = self.slurm_args(value["slurm_args"], changes, where)
        with _refusing(f"{where}: "):
            node = Packed(nodes[0], job, value.get("jobs", 1))
        node.origin = Origin(None, preset, changes)
        return node

    def leaf(self, kind: str, value: Mapping[str, Any], where: str, name: str | None) -> Node:
        needed, optional = LEAVES[kind]
        own, rest = _split(value, (*needed, *optional, *EVERY_LEAF))
        own.setdefault("name", name)
        for key in needed:
            if own.get(key) is None:
                raise ConfigError(f"{where}: {kind} has no {key}", hint=f"set {where}.{key}")
        making = None if kind in WITHOUT_ARGUMENTS else _making(rest, where)
        _check_own(kind, own, where)
        changes = own.get("slurm") or {}
        preset, own["slurm_args"] = self.slurm_args(own["slurm_args"], changes, where)
        kwargs = {**rest, **(own.get("kwargs") or {})}
        if kind == "HydraApp" and own.get("_args_"):
            kwargs = {"_args_": own["_args_"], **kwargs}
        if kind in WITHOUT_ARGUMENTS and kwargs:
            hint = suggest(next(iter(kwargs)), (*needed, *optional, "slurm"))
            raise ConfigError(f"{where}: {kind} has no {next(iter(kwargs))!r}", hint=hint)
        if kind == "Sweep":
            own["over"] = self.over(own["over"], where)
        args = [self.argument(item) for item in own.get("_args_") or []]
        made = {key: self.argument(item) for key, item in kwargs.items()}
        given = {key: own[key] for key in (*needed[3:], *optional) if own.get(key) is not None}
        first = [own[key] for key in needed[:3]]
        with _refusing(f"{where}: "):
            node = _CLASSES[kind](*first, *args, **given, **made)
        origin = Origin(name, preset, changes)
        for task, _ in tasks(node):
            task.origin = origin
            if isinstance(task, Step):
                task.making = making
        return node

    def argument(self, value: Any) -> Any:
        """An argument of a step; what is one object in many branches is so in their steps."""
        if not isinstance(value, dict | list) and not (isinstance(value, str) and IN_JOB in value):
            return value
        if id(value) not in self.unbuilt:
            self.unbuilt[id(value)] = Unbuilt(value)
        return self.unbuilt[id(value)]

    def over(self, over: Any, where: str) -> dict[str, Any]:
        """The swept values of a Sweep; text is Hydra's sweep syntax."""
        if not isinstance(over, Mapping):
            raise ConfigError(f"{where}.over must map parameters to lists of values, not {over!r}")
        with _refusing(f"{where}.over."):
            return {str(key): self.swept_values(str(key), item) for key, item in over.items()}

    def swept_values(self, key: str, values: Any) -> list[Any]:
        if isinstance(values, str):
            values = self.swept(values, key)
        if not isinstance(values, list):
            raise ConfigError(
                f"{key} must have a list of values, not {values!r}",
                hint="write a list, or range(0,10)",
            )
        return [self.argument(item) for item in values]

    def slurm_args(self, value: Any, changes: Any, where: str) -> tuple[str | None, SlurmSpec]:
        """The preset `value` (a mapping or a name) with `changes` on top, and the preset's key."""
        preset = self.preset_keys.get(where)
        if isinstance(value, str):
            with _refusing(f"{where}.slurm_args: "):
                preset, value = self.presets(value)
        if not isinstance(value, Mapping) or not isinstance(changes, Mapping):
            raise ConfigError(f"{where}: slurm_args and slurm must be mappings of SLURM arguments")
        if _kind(value, "SlurmArgs") != "SlurmArgs" or TARGET in changes:
            target = changes.get(TARGET, value.get(TARGET))
            raise ConfigError(f"{where}.slurm_args: {target} is not planit.SlurmArgs")
        fields = {key: item for key, item in {**value, **changes}.items() if key != TARGET}
        if has_target(fields):
            raise ConfigError(f"{where}.slurm_args: {_ONLY_ARGUMENTS}")
        with _refusing(f"{where}.slurm_args: "):
            fields = completed(fields, self.defaults)
        _refuse_of_job(fields, f"{where}.slurm_args")
        for key, item in fields.items():
            if item == MISSING:
                message = f"{where}.slurm_args: {key} is not set"
                raise ConfigError(message, hint=f"set {where}.slurm.{key}=...")
        if "slurm_time" in fields:
            return preset, fields
        key = repr(fields)
        if key not in self.slurm:
            with _refusing(f"{where}.slurm_args: "):
                self.slurm[key] = SlurmArgs.from_mapping(fields)
        return preset, self.slurm[key]


@contextmanager
def _refusing(where: str) -> Iterator[None]:
    """What is refused inside is refused at this place of the configuration."""
    try:
        yield
    except (ConfigError, PlanError) as error:
        raise ConfigError(f"{where}{error.message}", hint=error.hint) from error


def _kind(value: Mapping[str, Any], default: str | None) -> str | None:
    """What of planit's a mapping is; None if its ``_target_`` is somebody else's."""
    target = value.get(TARGET)
    if target is None:
        return default
    path = str(target).split(".")
    return path[-1] if path[0] == "planit" else None


def _with_func(value: Mapping[str, Any], where: str, name: str | None) -> dict[str, Any]:
    """A step that is written as its function: ``_target_`` instead of ``func``."""
    target = value[TARGET]
    if name is None and "slurm_args" not in value:
        raise ConfigError(
            f"{where}: {target} is not a node",
            hint="a step that calls it needs name and slurm_args; other nodes are planit.Command,"
            " HydraApp, Sweep, Chain, Parallel and Packed",
        )
    if "func" in value:
        raise ConfigError(f"{where} has both func and _target_ {target}", hint="keep func")
    if not is_dotted_path(target):
        raise ConfigError(
            f"{where}: _target_ {target!r} is not a dotted path",
            hint='write it as "package.module.function"',
        )
    return {**value, "func": target}


def _split(value: Mapping[str, Any], own: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    mine = {key: item for key, item in value.items() if key in own}
    return mine, {str(key): item for key, item in value.items() if key not in own}


def _making(rest: dict[str, Any], where: str) -> Making | None:
    """What Hydra's own keys of a step say, which are taken out; None if there are none."""
    said = {key.strip("_"): rest.pop(key) for key in HYDRAS_OWN if key in rest}
    with _refusing(f"{where}: "):
        return Making(**said) if said else None


def _refuse_of_job(value: Any, where: str) -> None:
    """Raise ConfigError for what only a job knows, where it is needed before there is one."""
    if (found := _OF_JOB.search(repr(value))) is not None:
        raise ConfigError(f"{where}: {found[0]} is known in the job only")


def _check_own(kind: str, own: Mapping[str, Any], where: str) -> None:
    """What planit itself reads cannot wait until something is built in the job."""
    if not isinstance(own.get("_args_") or [], list):
        raise ConfigError(f"{where}._args_ must be a list, not {own['_args_']!r}")
    if not isinstance(own.get("kwargs") or {}, Mapping):
        raise ConfigError(f"{where}.kwargs must be a mapping, not {own['kwargs']!r}")
    for key in ("name", "func"):
        _refuse_of_job(own.get(key), f"{where}.{key}")
    built = {TARGET, "slurm_args", "slurm", "over", "kwargs"}
    if kind != "Command":
        built.add("_args_")
    for key, value in own.items():
        if key not in built and has_target(value):
            hint = f"a parameter of the function that is called {key} goes in kwargs"
            raise ConfigError(f"{where}.{key}: {_ONLY_ARGUMENTS}", hint=hint)
