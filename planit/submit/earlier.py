"""Where the steps before a part of a plan were done: in an earlier run, or before that."""

from __future__ import annotations

from dataclasses import replace

from planit.backends import registry
from planit.errors import RunError, SchedulerError
from planit.graph import DoneBefore, Part
from planit.graph.part import before
from planit.nodes import Node, tasks
from planit.record.manifest_tree import leaves_of
from planit.record.run_dir import RunDir, is_run
from planit.status.run_status import run_status
from planit.status.states import State

_MAX_NAMED = 5


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
