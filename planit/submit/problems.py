"""Everything that is wrong with a plan and can be found before it is submitted, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planit.backends.base import Backend, CanPreview, Preview
from planit.errors import PlanError, SchedulerError
from planit.graph import Graph, Part, Stage, to_run
from planit.job.annotations import Annotations, Mismatch
from planit.job.call import Call, calls_of
from planit.job.hydra.hydra_config import of_this_process
from planit.job.payload import try_dump
from planit.job.reload import not_loaded
from planit.nodes import Node, Step, Task, check_unique_names, tasks
from planit.nodes.arguments import Making
from planit.record.call_file import Limits
from planit.submit.new import stages_of

SLURMS_PART = "what Slurm would say of partitions, limits and accounts"
_SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Problem:
    """What is wrong, and where.

    Attributes:
        step: the name, without their branch, of the steps that have it; None of the whole plan.
        key: where a configuration has it, such as ``plan.steps.train.lr``; None if it is not known.
        message: what is wrong.
        hint: what would be right.
    """

    step: str | None
    key: str | None
    message: str
    hint: str | None


@dataclass
class Problems:
    """Gathers problems; equal ones of several branches become one.

    Attributes:
        found: the problems in the order in which they were found, each with the names of its steps.
        not_checked: what could not be looked at, and why.
        notes: what else there is to tell.
        replaced: the names of steps that could not be made, and that others stand for.
    """

    found: dict[Problem, list[str]] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    replaced: set[str] = field(default_factory=set)

    def of_plan(self, error: Exception, key: str | None = None) -> None:
        """Add what is wrong with the plan as a whole."""
        message, hint = getattr(error, "message", str(error)), getattr(error, "hint", None)
        self.found.setdefault(Problem(None, key, message, hint), [])

    def of_step(self, task: Task, error: PlanError, key: str | None = None) -> None:
        """Add what is wrong with a step; by default its key is the step's own."""
        key = key or step_key(task)
        names = self.found.setdefault(Problem(task.base, key, error.message, error.hint), [])
        if task.name not in names[-1:]:
            names.append(task.name)


def step_key(task: Task, *more: str) -> str | None:
    """The key of a step in a configuration, and of what is in it; None if that is not known."""
    if task.origin is None or task.origin.step is None:
        return None
    return ".".join(("plan.steps", task.origin.step, *more))


def slurm_key(task: Task, name: str) -> str | None:
    """The key of a field of a step's SLURM arguments."""
    if task.origin is not None and name not in task.origin.own and task.origin.preset is not None:
        return f"{task.origin.preset}.{name}"
    return step_key(task, "slurm", name)


def look_at(root: Node, part: Part | None, problems: Problems) -> Node | None:
    """Look at all of a plan but what the backend asks of it: names, folders, functions, arguments.

    Args:
        root: the plan.
        part: the steps that are meant; by default all.
        problems: takes what is wrong.

    Returns:
        The tree of what would be run; None if there is none.
    """
    try:
        check_unique_names(root)
        resolved = to_run(root, part, Path, problems.of_step)
    except PlanError as error:
        problems.of_plan(error)
        return None
    listed = {task.name: task for task, _ in tasks(resolved)}
    calls = calls_of(listed.values(), of_this_process(), problems.of_step)
    _compare_types(listed, calls, problems)
    _pickle(listed, calls, problems)
    return resolved


def stages_for(root: Node, backend: Backend, problems: Problems) -> Graph | None:
    """The stages of a plan that a backend would be given; None if there are none."""
    try:
        return stages_of(root, {}, backend)
    except PlanError as error:
        problems.of_plan(error)
    except SchedulerError as error:
        problems.not_checked.append(f"{SLURMS_PART}: {error.message}")
    return None


def seen_by(backend: Backend, graph: Graph, problems: Problems) -> None:
    """Add what a backend says of the stages, without submitting one."""
    stages = [one for one in graph.stages if one.tasks[0].base not in problems.replaced]
    seen = backend.preview(stages) if isinstance(backend, CanPreview) else _refused(backend, stages)
    for refusal in seen.refusals:
        first, error = refusal.stage.tasks[0], refusal.error
        message = error.message.removeprefix(f"step {first.name!r}: ")
        for task in refusal.stage.tasks:
            key = slurm_key(task, refusal.field) if refusal.field else None
            problems.of_step(task, PlanError(message, hint=error.hint), key)
    problems.not_checked += seen.not_checked
    problems.notes += [
        f"{stage.name}: could start at {start}, as Slurm estimates" for stage, start in seen.starts
    ]


def _refused(backend: Backend, stages: Iterable[Stage]) -> Preview:
    """What a backend refuses, stage by stage."""
    found = Preview()
    for stage in stages:
        try:
            backend.check(Graph((stage,)))
        except PlanError as error:
            found.add([stage], None, error)
    return found


def _compare_types(
    listed: Mapping[str, Task], calls: Mapping[str, Call], problems: Problems
) -> None:
    annotations = Annotations()
    for name, call in calls.items():
        task = listed[name]
        if not isinstance(task, Step) or (call.making or Making()).partial:
            continue
        for wrong in annotations.mismatches(call.function, call.args, call.kwargs):
            problems.of_step(task, _of_type(wrong, call), _key_of(task, wrong))


def _of_type(wrong: Mismatch, call: Call) -> PlanError:
    shown = repr(wrong.value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = f"{shown[:_SHOWN_CHARACTERS]}..."
    which = f"argument {wrong.place}" if isinstance(wrong.place, int) else wrong.place
    function = getattr(call.function, "__qualname__", repr(call.function))
    return PlanError(
        f"{which} is {shown}, and {function} is annotated to take {wrong.wanted}",
        hint="change the value, or the annotation",
    )


def _key_of(task: Task, wrong: Mismatch) -> str | None:
    place = f"_args_[{wrong.place}]" if isinstance(wrong.place, int) else wrong.place
    return step_key(task, place)


def _pickle(listed: Mapping[str, Task], calls: Mapping[str, Call], problems: Problems) -> None:
    """Pickle the calls, and load those that can be in a fresh interpreter."""
    pickled, refused = try_dump(calls, Limits(0, 0))
    for name, error in refused.items():
        problems.of_step(listed[name], error)
    names: Sequence[str] = [name for name in calls if name not in refused]
    for number, error in not_loaded(pickled).items():
        problems.of_step(listed[names[number]], error)
