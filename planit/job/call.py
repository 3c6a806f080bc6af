"""A step's call: resolved and checked, but not made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planit.errors import PlanError
from planit.job.command import CommandCall
from planit.nodes import Command, Step, Task
from planit.nodes.functions import check_call, resolve
from planit.nodes.tree import in_step


@dataclass(frozen=True)
class Call:
    """What a step calls, resolved and checked."""

    function: Callable[..., Any]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]


def call_of(task: Task) -> Call:
    """Resolve and check a step's call, as far as that can be done without making it.

    Raises:
        PlanError: the function cannot be imported, or would not take its arguments.
    """
    if isinstance(task, Command):
        return Call(CommandCall(task.command, task.cwd, task.env), (), {})
    if not isinstance(task, Step):
        raise TypeError(task)
    try:
        function = resolve(task.func)
        check_call(function, task.args, task.kwargs)
    except PlanError as error:
        raise in_step(task.name, error) from None
    return Call(function, task.args, task.kwargs)
