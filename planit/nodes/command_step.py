"""`Command`: a shell command as a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planit.errors import PlanError
from planit.nodes.arguments import FOLDER_HINT
from planit.nodes.slurm_args import SlurmSpec
from planit.nodes.step_folder import StepFolder
from planit.nodes.tree import UNNAMED, Node, Task


class Command(Task):
    """A shell command as a step: its exit code is the step's, its output the step's log.

    Args:
        name: unique in its plan.
        command: a string for bash, or a list of arguments that no shell touches.
        slurm_args: as for `Step`.
        cwd: working directory; by default the one that the plan was submitted from.
        env: environment variables to set on top of the job's own.
    """

    __slots__ = ("command", "cwd", "env")

    launches = False  # its own srun or mpirun does that
    command: str | tuple[str, ...]
    cwd: str | None
    env: dict[str, str]

    def __init__(
        self,
        name: str = UNNAMED,
        command: str | Sequence[str | StepFolder] = (),
        slurm_args: SlurmSpec | None = None,
        cwd: Any = None,
        env: Mapping[str, Any] | None = None,
    ) -> None:
        self._set_up(name, slurm_args)
        _refuse_nodes(name, command, cwd, env)
        if isinstance(command, str):
            empty = not command.strip()
        elif isinstance(command, Sequence) and command:
            if not all(isinstance(word, str | int | float | StepFolder) for word in command):
                raise PlanError(f"step {name!r}: command {command!r} has words that are not text")
            command = tuple(str(word) for word in command)
            empty = not command[0]
        else:
            empty = True
        if empty:
            raise PlanError(f"step {name!r}: command must be text or a list of words")
        if env is not None and not isinstance(env, Mapping):
            raise PlanError(f"step {name!r}: env must be a mapping of variables, not {env!r}")
        self.command = command if isinstance(command, str) else tuple(map(str, command))
        self.cwd = None if cwd is None else str(cwd)
        self.env = {str(key): str(value) for key, value in (env or {}).items()}


def _refuse_nodes(name: str, command: Any, cwd: Any, env: Any) -> None:
    """Raise PlanError if a step stands for its folder in a command."""
    words = command if isinstance(command, list | tuple) else ()
    places = [("command", word) for word in words] + [("cwd", cwd)]
    places += [(f"env.{key}", v) for key, v in env.items()] if isinstance(env, Mapping) else []
    for where, value in places:
        if isinstance(value, Node):
            raise PlanError(f"step {name!r}: {where} has {value}", hint=FOLDER_HINT)
