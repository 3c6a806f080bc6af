"""A step's call: resolved and checked, but not made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from planit.errors import PlanError
from planit.job.command import CommandCall
from planit.job.hydra.hydra_config import StepHydra
from planit.job.hydra.instantiate import WithBuilt, config_classes, detached
from planit.job.hydra.programs import runs_of
from planit.nodes import Command, HydraApp, Step, Task
from planit.nodes.arguments import TARGET, Making, Unbuilt, targets
from planit.nodes.functions import check_call, is_dotted_path, resolve
from planit.nodes.tree import in_step


@dataclass(frozen=True)
class Call:
    """What a step calls, resolved and checked.

    Attributes:
        function: the plan's own function.
        args, kwargs: its arguments; those that the job makes are `Unbuilt`.
        making: how it makes them, if the step says so.
        hydra: what the job sets `HydraConfig` up from.
    """

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    making: Making | None = None
    hydra: StepHydra | None = None

    @property
    def in_job(self) -> Callable[..., Any]:
        """What the job calls with the arguments: `function`, or what makes them first."""
        values = (*self.args, *self.kwargs.values())
        if self.making or self.hydra or any(isinstance(value, Unbuilt) for value in values):
            return WithBuilt(self.function, self.making, self.hydra)
        return self.function

    @property
    def parts(self) -> Sequence[Any]:
        """What of it other steps' calls may have in common with it."""
        base = () if self.hydra is None else (self.hydra.base,)
        return (self.function, *self.args, *self.kwargs.values(), *base)


Refused = Callable[[Task, PlanError], None]
"""Takes what is wrong with a step."""


def calls_of(
    tasks: Iterable[Task], hydra: StepHydra | None = None, refused: Refused | None = None
) -> dict[str, Call]:
    """The calls of a plan's steps, by name; see `call_of`.

    The configurations of `HydraApp` steps are composed: one process for all steps of a program.

    Args:
        tasks: the steps.
        hydra: the run's configuration.
        refused: takes the errors; steps that have one are left out.

    Raises:
        PlanError: a step is wrong.
    """

    def first(task: Task, error: PlanError) -> NoReturn:
        raise in_step(task.name, error) from error.__cause__

    listed, tell = list(tasks), refused or first
    apps: list[HydraApp] = []
    calls: dict[str, Call] = {}
    made: dict[int, Any] = {}
    for task in listed:
        if isinstance(task, HydraApp):
            apps.append(task)
            continue
        try:
            calls[task.name] = _detached(_call_of(task, hydra), made)
        except PlanError as error:
            tell(task, error)
    calls |= {name: Call(run, args, {}) for name, (run, args) in runs_of(apps, tell).items()}
    return {task.name: calls[task.name] for task in listed if task.name in calls}


def _detached(call: Call, made: dict[int, Any]) -> Call:
    """The call without the configurations that OmegaConf's containers in it belong to.

    `made` has what other calls have in common with it, by the number of `id`.
    """
    containers = config_classes()

    def alone(value: Any) -> Any:
        if not isinstance(value, containers):
            return value
        if id(value) not in made:
            made[id(value)] = detached(value)
        return made[id(value)]

    values = (*call.args, *call.kwargs.values())
    if not containers or not any(isinstance(value, containers) for value in values):
        return call
    kwargs = {key: alone(value) for key, value in call.kwargs.items()}
    return replace(call, args=list(map(alone, call.args)), kwargs=kwargs)


def call_of(task: Task, hydra: StepHydra | None = None) -> Call:
    """Resolve and check a step's call, as far as that can be done without making it.

    Args:
        task: the step.
        hydra: the run's configuration, for a step that has none of its own.

    Raises:
        PlanError: the function or a ``_target_`` in its arguments cannot be imported, or the
            function would not take its arguments.
    """
    try:
        return _call_of(task, hydra)
    except PlanError as error:
        raise in_step(task.name, error) from None


def _call_of(task: Task, hydra: StepHydra | None) -> Call:
    if isinstance(task, Command):
        return Call(CommandCall(task.command, task.cwd, task.env), (), {})
    if not isinstance(task, Step):
        raise TypeError(task)
    function = resolve(task.func)
    return checked(Call(function, task.args, task.kwargs, task.making, task.hydra or hydra))


def checked(call: Call) -> Call:
    """A call of a function that would take it, and of whose targets each can be imported.

    Raises:
        PlanError: it would not, or one cannot.
    """
    check_call(call.function, call.args, call.kwargs)
    recursive = call.making is None or call.making.recursive
    for target in targets((*call.args, *call.kwargs.values()), recursive=recursive):
        resolve_target(target)
    return call


def resolve_target(target: Any) -> None:
    """Import what a job will build, so that its code is frozen with the run's; build nothing.

    Raises:
        PlanError: it cannot be imported, so that the job would fail.
    """
    try:
        if not is_dotted_path(target):
            raise PlanError("not a dotted path", hint='write it as "package.module.Class"')
        resolve(target)
    except PlanError as error:
        raise PlanError(f"{TARGET} {target!r}: {error.message}", hint=error.hint) from error
