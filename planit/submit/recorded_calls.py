"""The calls of a run's steps as they were pickled: copied once more, or with other arguments."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from planit.errors import PlanError, PlanitError, RunError, suggest
from planit.graph import Graph, Stage
from planit.job import frozen, payload
from planit.job.call import Call, calls_of, checked
from planit.job.command import CommandCall
from planit.job.hydra.composed_text import composed_text
from planit.job.hydra.instantiate import WithBuilt
from planit.nodes import Command, HydraApp
from planit.nodes.arguments import Unbuilt
from planit.nodes.tree import in_step
from planit.record import context, trust
from planit.record import history as histories
from planit.record.call_file import CallFile, PickledCalls, copied
from planit.record.frozen_code import CodeUsed
from planit.record.history import History
from planit.record.run_dir import RunDir
from planit.record.stage_dir import open_calls
from planit.record.trust import TrustedDir
from planit.submit.prepare import limits_of

REMOVED: Any = object()
"""The value of an argument that is left out from now on."""
_ARGS = "_args_"
_ANY = {"slurm_time": "1"}  # a call does not know them


@dataclass(frozen=True)
class NewArgument:
    """Another value for an argument of steps.

    Attributes:
        text: as it was asked for.
        steps: the names of the steps.
        path: the argument's name, then the keys inside it.
        value: plain data, or REMOVED.
        is_new: whether the argument may be one that the step does not have yet.
    """

    text: str
    steps: Collection[str]
    path: Sequence[str]
    value: Any
    is_new: bool = False


class RecordedCalls:
    """The pickled calls of a run's steps, each of its newest submission.

    Args:
        opened: the run directory.
        history: of the run.
        code: what the newest submission runs.
        stack: closes the files.
    """

    def __init__(
        self, opened: TrustedDir, history: History, code: CodeUsed, stack: ExitStack
    ) -> None:
        self.code = code
        self._opened = opened
        self._history = history
        self._stack = stack
        self._files: dict[tuple[int, int], CallFile] = {}

    def of_stages(self, graph: Graph, new: Mapping[str, Call]) -> dict[int, PickledCalls]:
        """The calls of each stage, with the time limits of now.

        Args:
            graph: the stages.
            new: the calls of the steps that are called with other arguments.

        Raises:
            PlanError: a new call cannot be pickled.
            RunError: another user could have written a call, or it is damaged.
        """
        return {stage.number: self._of_stage(stage, new) for stage in graph.stages}

    def _of_stage(self, stage: Stage, new: Mapping[str, Call]) -> PickledCalls:
        names = [task.name for task in stage.tasks]
        first, _ = self._place(names[0])
        limits = limits_of(stage, first.limits.requeues)
        old = [name for name in names if name not in new]
        was = copied([self._place(name) for name in old], limits)
        if len(old) == len(names):
            return was
        changed = {name: new[name] for name in names if name in new}
        made = payload.dump(changed, limits)
        pickles = dict(zip([*old, *changed], [*was.calls, *made.calls], strict=True))
        return PickledCalls(
            [pickles[name] for name in names], {**was.shared, **made.shared}, limits
        )

    def call(self, name: str) -> Call:
        """The call of a step, unpickled. Raises what its unpickling raises, and RunError."""
        file, index = self._place(name)
        function, args, kwargs = payload.unpickled(file, index)
        if isinstance(function, WithBuilt):
            return Call(function.function, args, kwargs, function.making, function.hydra)
        return Call(function, args, kwargs)

    def _place(self, name: str) -> tuple[CallFile, int]:
        place = self._history.placements[name]
        key = (place.submission, place.stage)
        if key not in self._files:
            opened = open_calls(self._opened, *key)
            self._files[key] = CallFile(self._stack.enter_context(opened))
        return self._files[key], place.task


@contextmanager
def recorded_calls(
    run: RunDir, history: History, *, frozen_code: bool = False
) -> Iterator[RecordedCalls]:
    """The calls of a run's steps, with their functions where a job would import them from.

    Args:
        run: the run.
        history: of the run.
        frozen_code: import the code that was submitted last, not that of now.

    Raises:
        RunError: another user could have written the run.
    """
    before = context.read(run.path, history.last_submission)
    with ExitStack() as stack:
        opened = stack.enter_context(trust.opened(run.path))
        # The functions are where they were: a resume may be called from anywhere.
        stack.enter_context(frozen.importable(before.sys_path))
        if frozen_code:
            frozen.use(opened, before.code)
        yield RecordedCalls(opened, history, before.code, stack)


def composed_text_of(run: RunDir, name: str) -> str | None:
    """The composed configuration of a step that is a Hydra program, as YAML; None of another one.

    Raises:
        RunError: another user could have written the call, or it cannot be read.
    """
    history = histories.read(run)
    if name not in history.placements:
        return None
    with recorded_calls(run, history) as recorded:
        try:
            call = recorded.call(name)
        except PlanitError:
            raise
        except Exception as error:
            raise RunError(
                f"the call of step {name!r} cannot be read here: {type(error).__name__}: {error}"
            ) from error
        return composed_text(call.function, call.args)


def with_new_arguments(
    recorded: RecordedCalls,
    leaves: Mapping[str, Mapping[str, Any]],
    new: Sequence[NewArgument],
    directory: Path,
) -> dict[str, Call]:
    """The calls of steps, by name, with other arguments; only of those that get some.

    Args:
        recorded: their calls as they are.
        leaves: the steps that are rerun, as the manifest has them, by name.
        new: the arguments; later ones win.
        directory: where the run was submitted.

    Raises:
        PlanError: a step has no such argument, or its function would not take it.
    """
    calls: dict[str, Call] = {}
    programs: list[HydraApp] = []
    for name, leaf in leaves.items():
        mine = [one for one in new if name in one.steps]
        if not mine:
            continue
        try:
            calls[name] = call = _unpickled(recorded, name)
            if leaf["kind"] == HydraApp.__name__:
                programs.append(_program(leaf, mine))
            elif isinstance(call.function, CommandCall):
                calls[name] = _command(call.function, mine, leaf)
            else:
                calls[name] = _function(call, mine)
        except PlanError as error:
            raise in_step(name, error) from None
    if programs:
        with chdir(directory):
            composed = calls_of(programs)
        for name, call in composed.items():
            base, row = call.args
            _, was = calls[name].args
            calls[name] = replace(call, args=(base, replace(row, num=was.num)))
    return calls


def _unpickled(recorded: RecordedCalls, name: str) -> Call:
    try:
        return recorded.call(name)
    except Exception as error:
        raise PlanError(
            f"its call cannot be read to be changed: {type(error).__name__}: {error}",
            hint="submit the plan anew with that value",
        ) from error


def _function(call: Call, new: Sequence[NewArgument]) -> Call:
    """The call of a function with other arguments."""
    args, kwargs = tuple(call.args), dict(call.kwargs)
    for one in new:
        if one.path[0] == _ARGS:
            args = _positional(one)
        else:
            kwargs = _set(kwargs, one)
    return checked(replace(call, args=args, kwargs=kwargs))


def _positional(one: NewArgument) -> tuple[Any, ...]:
    if len(one.path) > 1 or not isinstance(one.value, list):
        raise PlanError(f"{one.text}: positional arguments are changed as a whole list")
    return tuple(map(_argument, one.value))


def _set(content: dict[str, Any], one: NewArgument, depth: int = 0) -> dict[str, Any]:
    """A mapping with the value set, or removed, to which the rest of the path leads."""
    key, above = one.path[depth], ".".join(one.path[:depth]) or "the step"
    if key not in content and not (one.is_new and one.value is not REMOVED):
        hint = f"{suggest(key, list(map(str, content)))}; +KEY=VALUE adds one"
        raise PlanError(f"{one.text}: {above} has no {key!r}", hint=hint)
    if depth + 1 == len(one.path):
        if one.value is REMOVED:
            made = copy.copy(content)
            del made[key]
            return made
        return _with(content, key, one.value if depth else _argument(one.value))
    below = content.get(key, Unbuilt({}) if depth == 0 else {})
    inside = below.content if isinstance(below, Unbuilt) else below
    if not isinstance(inside, dict):
        raise PlanError(f"{one.text}: {'.'.join(one.path[: depth + 1])} is not a mapping")
    made = _set(inside, one, depth + 1)
    return _with(content, key, Unbuilt(made) if isinstance(below, Unbuilt) else made)


def _with(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value set anew; a structured config keeps its class."""
    made = copy.copy(content)
    made[key] = value
    return made


def _argument(value: Any) -> Any:
    return Unbuilt(value) if isinstance(value, dict | list) else value


def _command(was: CommandCall, new: Sequence[NewArgument], leaf: Mapping[str, Any]) -> Call:
    """The call of a command with other fields."""
    fields: dict[str, Any] = {"command": was.command, "cwd": was.cwd, "env": dict(was.env)}
    for one in new:
        if one.path[0] not in fields or len(one.path) > 2:
            hint = suggest(one.path[0], fields)
            raise PlanError(f"{one.text}: a command has no {'.'.join(one.path)}", hint=hint)
        removed = one.value is REMOVED and len(one.path) == 1
        fields = {**fields, one.path[0]: None} if removed else _set_field(fields, one)
    made = Command(leaf["name"], slurm_args=_ANY, **fields)
    return Call(CommandCall(made.command, made.cwd, made.env), (), {})


def _set_field(fields: dict[str, Any], one: NewArgument) -> dict[str, Any]:
    if len(one.path) == 1:
        return {**fields, one.path[0]: one.value}
    return _set(fields, replace(one, is_new=True))  # a variable may be new


def _program(leaf: Mapping[str, Any], new: Sequence[NewArgument]) -> HydraApp:
    """A Hydra program with other overrides."""
    overrides = leaf["overrides"]
    for one in new:
        if list(one.path) != ["overrides"] or one.value is REMOVED:
            raise PlanError(
                f"{one.text}: of a Hydra program only overrides can be changed",
                hint='plan.steps.STEP.overrides=["lr=0.1"], the whole list',
            )
        overrides = one.value
    return HydraApp(leaf["name"], leaf["app"], _ANY, overrides, leaf["script"])
