"""The tree that a plan is: `Step` and `Command` are its leaves, `Chain` and `Parallel` its shape.

Nodes are values. They import nothing, submit nothing and know no scheduler.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, overload

from planit.errors import PlanError
from planit.nodes.arguments import Making, refuse_inside
from planit.nodes.functions import Function, check_function
from planit.nodes.resources import Resources
from planit.nodes.slurm_args import SlurmSpec, resources_of
from planit.nodes.step_folder import OPEN, StepFolder, folder_of, readable


class Node:
    """Anything that can stand in a plan."""

    __slots__ = ()

    children: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where a configuration has a step, so that a resume can address it.

    Attributes:
        step: its name in ``plan.steps``, or None.
        preset: the key that its SLURM arguments are taken from, such as "slurm", or None.
        own: the fields that it sets on top of them.
    """

    step: str | None = None
    preset: str | None = None
    own: Mapping[str, Any] = field(default_factory=dict)


UNNAMED: Any = object()
"""The name of a step that takes its key in ``Plan(..., steps=...)``."""


class Task(Node):
    """A leaf: one SLURM job, or one task of a job array.

    Attributes:
        name: unique in its plan.
        slurm_args: the SLURM parameters as given; a dict is a copy of the caller's.
        resources: the same, checked and in submission's terms.
        origin: where it stands in a configuration; None for a step made in Python.
        hydra: what its job sets `HydraConfig` up from, if that is not the run's.
        base: its name without its branch: "train" of ``train[lr=0.1]``.
        values: the swept parameters of its branch.
    """

    __slots__ = ("base", "hydra", "name", "origin", "resources", "slurm_args", "values")

    name: str
    slurm_args: SlurmSpec
    resources: Resources
    origin: Origin | None
    hydra: Any
    base: str
    values: Mapping[str, Any]
    launches = True  # started once for each Slurm task of the job, if it has several

    def _set_up(self, name: Any, slurm_args: Any) -> None:
        if name is UNNAMED:
            name = ""
        elif not isinstance(name, str) or not name.strip():
            raise PlanError(f"the name of a step must be non-empty text, not {name!r}")
        if not name.isprintable():
            raise PlanError(f"step name {name!r} has control characters", hint="remove them")
        if OPEN in name:
            raise PlanError(f"step name {readable(name)!r} has the folder of a step in it")
        self.name = self.base = name
        self.values = {}
        self.origin = self.hydra = None
        try:
            self.resources = resources_of(slurm_args)
        except PlanError as error:
            raise in_step(name, error) from None
        is_dict = isinstance(slurm_args, Mapping)
        self.slurm_args = copy.deepcopy(dict(slurm_args)) if is_dict else slurm_args

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    @property
    def dir(self) -> StepFolder:
        """The step's folder, as an argument of a later step: ``train.dir / "model.pt"``.

        Raises:
            PlanError: the step has no name yet.
        """
        return folder_of(self.name, "Step")

    def renamed(self, name: str, hydra: Any = None) -> Self:
        """The same step under another name, with a configuration of its own."""
        other = copy.copy(self)
        other.name = name
        other.base = self.base or name
        other.hydra = hydra
        return other

    def of_branch(self, base: str, values: Mapping[str, Any]) -> Self:
        """The same step as one of several called `base`, told apart by swept parameters."""
        other = copy.copy(self)
        other.base = base
        other.values = {**values, **self.values}
        return other


_OWN = ("name", "func", "slurm_args")


class Step(Task):
    """One function call as one SLURM job: ``Step(name, func, slurm_args, *args, **kwargs)``.

    Args:
        name: unique in its plan. A step in ``Plan(..., steps=...)`` may take its key there.
        func: a callable, or its dotted path ("my_project.train.main"), which is imported when the
            plan is checked or run, not when it is described.
        slurm_args: `SlurmArgs`, or a dict that submitit understands with at least "slurm_time".
        *args, **kwargs: passed to `func` when the job runs. With the first three given by
            position, `func`'s own parameters may be called name, func or slurm_args too.

    Raises:
        PlanError: a missing or wrong name, function or SLURM parameter.
    """

    __slots__ = ("args", "func", "kwargs", "making")

    func: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    making: Making | None  # of a step that is written in a configuration

    @overload
    def __init__(
        self, name: str, func: Function, slurm_args: SlurmSpec, /, *args: Any, **kwargs: Any
    ) -> None: ...
    @overload
    def __init__(
        self, *, name: str = UNNAMED, func: Function, slurm_args: SlurmSpec, **kwargs: Any
    ) -> None: ...
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        own = dict(zip(_OWN, args, strict=False))
        if not args:
            kwargs.setdefault("name", UNNAMED)
        for parameter in _OWN:
            if parameter not in own:
                if parameter not in kwargs:
                    name = own.get("name", UNNAMED)
                    step = "a step" if name is UNNAMED else f"step {name!r}"
                    raise PlanError(
                        f"{step} has no {parameter}",
                        hint="Step(name, func, slurm_args, *args, **kwargs)",
                    )
                own[parameter] = kwargs.pop(parameter)
        self._set_up(own["name"], own["slurm_args"])
        try:
            check_function(own["func"])
        except PlanError as error:
            raise in_step(self.name, error) from None
        self.func = own["func"]
        self.making = None
        self.args = args[len(_OWN) :]
        self.kwargs = kwargs
        try:
            refuse_inside(Node, self.args, kwargs)
        except PlanError as error:
            raise in_step(self.name, error) from None


class Named(Node):
    """Stands for a step of the plan's ``steps``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return repr(self.name)


class Group(Node):
    """What holds other nodes; text names a step of ``Plan(..., steps=...)``.

    Attributes:
        children: the nodes, in order.
        label: what is shown instead of the kind, such as the overrides of a sweep's branch.
    """

    __slots__ = ("children", "label")

    kind = "Group"
    label: str | None

    def __init__(self, *nodes: Node | str, label: str | None = None) -> None:
        for position, node in enumerate(nodes):
            if not isinstance(node, Node | str):
                raise PlanError(
                    f"{self.kind} expects nodes, but child {position} is {_shown(node)}",
                    hint=not_a_node_hint(node, self.kind),
                )
        self.children = tuple(Named(one) if isinstance(one, str) else one for one in nodes)
        self.label = label

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.children))})"

    def with_children(self, children: Iterable[Node]) -> Self:
        """The same group with other nodes in it."""
        other = copy.copy(self)
        other.children = tuple(children)
        return other


class Chain(Group):
    """Runs its children one after another: each starts when all of the one before succeeded."""

    __slots__ = ()

    kind = "Chain"


class Parallel(Group):
    """Runs its children at the same time: all start when what stands before it succeeded.

    Args:
        *nodes: the children, also called branches.
        max_concurrent: the maximum number of branches that run at once; by default no limit. A
            branch that fails makes room for the next one like any other.
    """

    __slots__ = ("max_concurrent",)

    kind = "Parallel"
    max_concurrent: int | None

    def __init__(
        self, *nodes: Node | str, max_concurrent: int | None = None, label: str | None = None
    ) -> None:
        super().__init__(*nodes, label=label)
        if max_concurrent is not None and (
            isinstance(max_concurrent, bool)
            or not isinstance(max_concurrent, int)
            or max_concurrent < 1
        ):
            raise PlanError(
                f"max_concurrent must be a whole number of at least 1, not {max_concurrent!r}"
            )
        self.max_concurrent = max_concurrent


def _shown(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else repr(value)


def not_a_node_hint(value: Any, parent: str) -> str:
    """How to fix what was given instead of a node."""
    if isinstance(value, list | tuple):
        return f"unpack the list: {parent}(*nodes)"
    if isinstance(value, type):
        return f"make one: {value.__name__}(...)"
    return "a node is a Step, Command, HydraApp, Chain, Parallel, Sweep or Packed"


def in_step(name: str, error: PlanError) -> PlanError:
    """The same error, saying which step it is in."""
    return PlanError(f"step {name!r}: {error.message}", hint=error.hint)


def tasks(root: Node) -> Iterator[tuple[Task, str]]:
    """All leaves in the order they are written, each with its place, like ``Chain[1].Parallel[0]``.

    Iterative, so that neither width nor depth of a plan is limited by the interpreter's stack.
    """
    stack: list[tuple[Node, str]] = [(root, "")]
    while stack:
        node, place = stack.pop()
        if isinstance(node, Task):
            yield node, place or "the root"
            continue
        kind = node.kind if isinstance(node, Group) else type(node).__name__
        prefix = f"{place}.{kind}" if place else kind
        count = len(node.children)
        stack.extend((node.children[i], f"{prefix}[{i}]") for i in range(count - 1, -1, -1))


def bottom_up(root: Node) -> Iterator[Node]:
    """All nodes of a tree, each behind those in it; any depth."""
    order, stack = [], [root]
    while stack:
        node = stack.pop()
        order.append(node)
        stack.extend(node.children)
    return reversed(order)


def check_unique_names(root: Node) -> None:
    """Raise if two steps share a name; the error says where both stand."""
    seen: dict[str, str] = {}
    for task, place in tasks(root):
        if not task.name:
            raise PlanError(f"{place} has no name", hint="Step(name, func, slurm_args)")
        if task.name in seen:
            raise PlanError(
                f"two steps are called {task.name!r}: at {seen[task.name]} and at {place}",
                hint="a step name is unique in its plan",
            )
        seen[task.name] = place
