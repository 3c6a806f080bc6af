"""A part of a plan, the rest of which was done in an earlier run."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from planit.backends import registry
from planit.errors import PlanError, RunError, SchedulerError
from planit.graph import DoneBefore, Part, part_of
from planit.graph.part import before
from planit.nodes import Node, tasks
from planit.record import index, run_bases
from planit.record.manifest_tree import leaves_of
from planit.record.run_dir import RunDir, is_run
from planit.status.run_status import run_status
from planit.status.states import State

_MAX_NAMED = 5


@dataclass(frozen=True)
class PartAsked:
    """The part of a plan that somebody asks for; all of it if nothing is said.

    Attributes:
        start_from, until, only: see `part_of`.
        after: the run in which the rest was done: its id, a part of it, or its folder.
    """

    start_from: Collection[str] = ()
    until: Collection[str] = ()
    only: Collection[str] = ()
    after: str | Path | None = None

    @property
    def is_all(self) -> bool:
        """Whether nothing is said."""
        return not (self.start_from or self.until or self.only) and self.after is None

    def part(self, root: Node, base: Path) -> Part | None:
        """What is run of a plan; None means all.

        Args:
            root: the plan.
            base: folder of the runs; those that runs from here went to count, too.

        Raises:
            PlanError: the plan has no such step, or nothing is left to run.
            RunError: there is no such run, or a step that is needed is not done in it.
            SchedulerError: its scheduler does not answer, so nobody knows.
        """
        if not (self.start_from or self.until or self.only):
            if self.after is not None:
                raise PlanError(
                    "after says where the rest of a plan was done, and nothing is left out",
                    hint="add --from STEP, --until STEP or --only STEP",
                )
            return None
        part = part_of(root, start_from=self.start_from, until=self.until, only=self.only)
        if self.after is None:
            return part
        bases = run_bases.each_once([base, *run_bases.of_folder(Path.cwd())])
        return after_run(root, part, index.find(bases, str(self.after)))


def after_run(root: Node, part: Part, run: RunDir) -> Part:
    """The part, with the folders of the steps before it.

    Nothing of the earlier run is unpickled, so it may be a colleague's.

    Args:
        root: the whole plan.
        part: the steps that are run.
        run: the earlier run. What that run left to a still earlier one is found there.

    Raises:
        RunError: a step that must have succeeded before a step of the part is not DONE there.
        SchedulerError: its scheduler does not answer, so nobody knows.
    """
    needed = before(root, part.steps) - set(part.steps)
    done = _done_in(run)
    if missing := [task.name for task, _ in tasks(root) if task.name in needed - done.keys()]:
        states = {leaf["name"]: "not DONE" for leaf in leaves_of(run.manifest["tree"])}
        shown = [f"{name} ({states.get(name, 'not in it')})" for name in missing[:_MAX_NAMED]]
        more = f" and {len(missing) - _MAX_NAMED} more" if len(missing) > _MAX_NAMED else ""
        raise RunError(
            f"run {run.run_id} has not done {', '.join(shown)}{more}",
            hint=f"planit status {run.run_id} shows why; --from STEP runs a step and those behind",
        )
    return replace(part, before={name: done[name] for name in needed})


def _done_in(run: RunDir) -> dict[str, DoneBefore]:
    """The steps that are done in a run, or in those before it. Raises SchedulerError, RunError."""
    done: dict[str, DoneBefore] = {}
    for earlier in run.after:
        if is_run(earlier):  # it may have been deleted since
            done |= _done_in(RunDir(earlier))
    status = run_status(run, registry.of_run(run).client)
    if status.stale:
        raise SchedulerError(
            f"cannot tell what is done in run {run.run_id}: {'; '.join(status.problems)}",
            hint="try again when Slurm answers",
        )
    own = RunDir(run.path.absolute())
    for step in status.steps:
        if step.state is State.DONE:
            done[step.name] = DoneBefore(own.path, own.step_dir(step.slug))
        else:
            done.pop(step.name, None)  # what fails now is not done, whatever it was before
    return done
