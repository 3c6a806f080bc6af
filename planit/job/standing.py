"""Where a step stands: `current`, and what of it a `Command` gets.

It is read from the run's manifest, one file for all branches. The debug backend keeps no record:
there it is what the process knows of the plan, and for commands a file in the step's folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from planit.errors import PlanError, RunError, suggest
from planit.record import fields
from planit.record.bulk import uncollected
from planit.record.files import read_json
from planit.record.manifest_tree import standing_tree
from planit.record.markers import Attempt
from planit.record.returned import Returned
from planit.record.run_dir import PARENTS, STANDING, RunDir
from planit.record.task_files import restart_count

_THREADS = 16  # on a network file system each result is a round trip


class EarlierStep:
    """A step that succeeded before the current one.

    Attributes:
        name: its name, such as ``train[lr=0.1]``.
        values: the swept parameters of its branch.
    """

    def __init__(
        self,
        name: str,
        folder: Callable[[], Path],
        values: Mapping[str, Any],
        result: Callable[[], Any],
    ) -> None:
        self.name = name
        self.values = values
        self._locate = folder  # there may be many of these, and a Path takes long to make
        self._read = result

    def __repr__(self) -> str:
        return f"EarlierStep({self.name!r})"

    @cached_property
    def dir(self) -> Path:
        """Its folder, which is there if the step left something in it."""
        return self._locate()

    @cached_property
    def result(self) -> Any:
        """What it returned, if that is plain data; else None. Read when it is first asked for."""
        return self._read()

    def as_json(self) -> dict[str, Any]:
        """The step as JSON has it."""
        return {
            "name": self.name,
            "dir": str(self.dir),
            "values": dict(self.values),
            "result": self.result,
        }


@dataclass(frozen=True)
class Surroundings:
    """What a plan says of one of its steps.

    Attributes:
        plan: the plan's name.
        values: the swept parameters of the step's branch.
        parents: the steps that it waited for directly.
        ancestors: all steps that had to succeed before it, in the order of the plan.
    """

    plan: str
    values: Mapping[str, Any] = field(default_factory=dict)
    parents: Sequence[EarlierStep] = ()
    ancestors: Sequence[EarlierStep] = ()


class CurrentStep:
    """The step that this process runs; `current` makes it.

    Attributes:
        name: its name, such as ``eval[lr=0.1]``.
        run_dir: the run directory.
        dir: the step's own folder.
        attempt: number of the submission (1 is the first, then the resumes), and how often the job
            was requeued in it.
    """

    def __init__(
        self,
        name: str,
        run_dir: Path,
        folder: Path,
        attempt: Attempt,
        look: Callable[[], Surroundings],
    ) -> None:
        self.name = name
        self.run_dir = run_dir
        self.dir = folder
        self.attempt = attempt
        self._look = look

    def __repr__(self) -> str:
        return f"CurrentStep({self.name!r})"

    @cached_property
    def _around(self) -> Surroundings:
        return self._look()

    @property
    def plan(self) -> str:
        """Name of the plan."""
        return self._around.plan

    @property
    def values(self) -> Mapping[str, Any]:
        """The swept parameters of its branch, such as ``{"lr": "0.1"}``; empty without a sweep."""
        return self._around.values

    @property
    def parents(self) -> list[EarlierStep]:
        """The steps that it waited for directly; in a join the last ones of all branches."""
        return list(self._around.parents)

    def ancestors(self, name: str | None = None) -> list[EarlierStep]:
        """The steps that had to succeed before it, in the order of the plan.

        Args:
            name: only the step of that name, or its branches: ``train`` also means
                ``train[lr=0.1]``. In a branch that is the one of the same branch, in a join all.

        Raises:
            PlanError: there is none of that name before it.
        """
        if name is None:
            return list(self._around.ancestors)
        from planit.graph.ancestry import called, plain_name

        by_name = {one.name: one for one in self._around.ancestors}
        if not (found := called(name, by_name)):
            raise PlanError(
                f"no step {name!r} comes before step {self.name!r}",
                hint=suggest(name, dict.fromkeys(map(plain_name, by_name))),
            )
        return [by_name[one] for one in found]

    def as_json(self) -> dict[str, Any]:
        """The step and its parents as JSON has them."""
        return {
            "plan": self.plan,
            "run_dir": str(self.run_dir),
            "name": self.name,
            "dir": str(self.dir),
            "attempt": str(self.attempt),
            "values": dict(self.values),
            "parents": as_json(self.parents),
        }


def as_json(steps: Sequence[EarlierStep]) -> list[dict[str, Any]]:
    """Steps as JSON has them; the results of many are read at the same time."""
    if len(steps) < _THREADS:
        return [step.as_json() for step in steps]
    _ = steps[0].result  # what all share is read once
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(EarlierStep.as_json, steps))


_HERE: ContextVar[CurrentStep] = ContextVar("planit_current_step")
"""The step that this thread runs, for a backend that has several in one process."""


@contextmanager
def standing(step: CurrentStep) -> Iterator[None]:
    """Make a step the current one of this thread."""
    token = _HERE.set(step)
    try:
        yield
    finally:
        _HERE.reset(token)


def current() -> CurrentStep:
    """Where the step stands that this process runs: its folder, its branch, what came before it.

    It works in the function of a step on every backend, in the processes that it starts, and in
    those of a `Command`. Nothing is read before it is asked for.

    Raises:
        RunError: this process is not in a step, or the run's record cannot be read.
    """
    if (here := _HERE.get(None)) is not None:
        return here
    try:
        name, folder = os.environ["PLANIT_STEP"], Path(os.environ["PLANIT_STEP_DIR"])
        run = RunDir(Path(os.environ["PLANIT_RUN_DIR"]))
        submission = int(os.environ.get("PLANIT_SUBMISSION", "1"))
        attempt = Attempt(submission, restart_count())
    except (KeyError, ValueError):
        raise RunError(
            "this process is not in a step of a run",
            hint="call planit.current() in a step's function, and planit current in a Command",
        ) from None
    if (kept := folder / STANDING).is_file():
        return CurrentStep(name, run.path, folder, attempt, lambda: _kept(kept))
    return CurrentStep(name, run.path, folder, attempt, lambda: _recorded(run, name))


def _recorded(run: RunDir, name: str) -> Surroundings:
    """What the run's manifest says of a step. Raises RunError."""
    with uncollected():
        manifest = run.manifest
        tree, returned = standing_tree(manifest), Returned(run.path)
        return surroundings(manifest["plan"], tree, name, run, returned.of)


def surroundings(
    plan: str,
    tree: Mapping[str, Any],
    name: str,
    run: RunDir,
    result_of: Callable[[str], Any],
) -> Surroundings:
    """What a plan says of one of its steps.

    Args:
        plan: the plan's name.
        tree: its tree, as a manifest has it; see `standing_tree`.
        name: of the step.
        run: where the folders are, but for those of steps that were done in an earlier run.
        result_of: gives what a step has returned.

    Raises:
        RunError: there is no such step.
    """
    from planit.graph.ancestry import Form  # most steps never ask

    form = Form[Mapping[str, Any]](
        lambda node: node.get("children"), lambda node: node["kind"] == "Chain"
    )
    places = form.places(tree)
    leaf, place = next(((one, at) for one, at in places if one["name"] == name), (None, None))
    if leaf is None:
        raise RunError(f"{run.path} has no step {name!r}")

    @cache
    def returned(path: str) -> Returned:
        return Returned(Path(path))

    def earlier(one: Mapping[str, Any]) -> EarlierStep:
        step: str = one["name"]
        folder, result = partial(_folder, run, one), partial(result_of, step)
        if "run" in one:
            result = partial(returned(one["run"]).of, step)
        return EarlierStep(step, folder, fields.mapping(one, "values"), result)

    ancestors = {one["name"]: earlier(one) for one in form.ancestors(place)}
    parents = [ancestors[one["name"]] for one in form.parents(place)]
    values = fields.mapping(leaf, "values")
    return Surroundings(plan, values, parents, list(ancestors.values()))


def _folder(run: RunDir, leaf: Mapping[str, Any]) -> Path:
    return Path(leaf["dir"]) if "dir" in leaf else run.step_dir(leaf["slug"])


def _kept(path: Path) -> Surroundings:
    """The same from the file that a step without a record has. Raises RunError."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise RunError(f"{path} cannot be read")

    def earlier(one: Mapping[str, Any]) -> EarlierStep:
        folder = partial(Path, one["dir"])
        return EarlierStep(one["name"], folder, one["values"], lambda: one["result"])

    parents, ancestors = ([earlier(x) for x in content[key]] for key in ("parents", "ancestors"))
    return Surroundings(content["plan"], content["values"], parents, ancestors)


def files_for_command(step: CurrentStep) -> dict[Path, Any]:
    """The files that a command of the current step finds in its folder, each with its content.

    The first is that of its parents.
    """
    files: dict[Path, Any] = {step.dir / PARENTS: as_json(step.parents)}
    if _HERE.get(None) is not None:
        content = {**step.as_json(), "ancestors": as_json(step.ancestors())}
        files[step.dir / STANDING] = content
    return files
