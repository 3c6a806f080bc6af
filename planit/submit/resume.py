"""Submits again what is not done, and nothing else.

Done steps are kept, running and waiting ones too. What failed, was cancelled, got lost or was
never submitted is submitted again with everything behind it, in a new submission of the same run,
from the same pickled calls. An edge to a done step is dropped, for Slurm may no longer know its id
and would then run the child at once; an edge to a running step becomes a dependency on its job.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from planit.backends.base import Backend, Dependency
from planit.errors import PlanError, RunError, SchedulerError
from planit.graph import EdgeKind, Graph, lower
from planit.job.call import Call, resolve_target
from planit.job.code import importable
from planit.job.command import CommandCall
from planit.nodes import Resources, Task, tasks
from planit.nodes.functions import resolve
from planit.record import history as histories
from planit.record.files import read_json, why_untrusted
from planit.record.history import History
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.recorded import StoredStep, stored_tree
from planit.record.rundir import RunDir
from planit.status.collect import look
from planit.status.states import RunStatus, State, StepStatus
from planit.submit.cancel import jobs_of, refuse_unknown
from planit.submit.interrupted import settle
from planit.submit.new import submit_stages
from planit.submit.submission import Progress, no_progress


class Action(enum.StrEnum):
    """What a resume does with a step."""

    KEEP = "keep"
    RERUN = "rerun"
    WAIT = "wait"


@dataclass(frozen=True)
class Decision:
    """What a resume does with a step, and why."""

    step: str
    action: Action
    reason: str


@dataclass
class Resume:
    """One resume of a run.

    Attributes:
        run: the run.
        backend: who takes the jobs.
        start_from: rerun these steps and everything behind them, done or not.
        only: rerun just these steps.
        resources: new submission parameters by step, for what is rerun.
    """

    run: RunDir
    backend: Backend
    start_from: Collection[str] = ()
    only: Collection[str] = ()
    resources: Mapping[str, Resources] = field(default_factory=dict)
    progress: Progress = no_progress

    def plan(self) -> list[Decision]:
        """What would be done, without doing anything."""
        past = histories.read(self.run)
        return self._decide(past, self._look(past))

    def execute(self) -> list[Decision]:
        """Do it. Raises what `planit.submit.submission.Submission.submit` raises, and:

        Raises:
            RunError: somebody else is working on the run, or a step to rerun is running.
            SchedulerError: Slurm does not answer, so nobody knows what still runs.
        """
        with RunLock(self.run.path):
            past = histories.read(self.run)
            past = settle(self.run, past, self.backend, finish=not self.resources)
            status = self._look(past)
            decisions = self._decide(past, status)
            rerun = [d.step for d in decisions if d.action is Action.RERUN]
            if rerun:
                with importable(self._import_path(past)):
                    self._submit(past, status, rerun)
        return decisions

    def _import_path(self, past: History) -> list[str]:
        """Where the functions were imported from last: a resume may be called from anywhere."""
        context = self.run.context_file(past.last_submission)
        if why_untrusted([self.run.path, context.parent, context]) is not None:
            return []  # somebody else could have written it
        return list((read_json(context) or {}).get("sys_path", []))

    def _look(self, past: History) -> RunStatus:
        status = look(self.run, self.backend.client, past=past)
        if status.stale:
            raise SchedulerError(
                f"cannot tell what still runs: {'; '.join(status.problems)}",
                hint="try again when Slurm answers",
            )
        return status

    def _decide(self, past: History, status: RunStatus) -> list[Decision]:
        refuse_unknown(past, [*self.start_from, *self.only])
        asked = set(self.only) or past.behind(self.start_from)
        if asked:
            forced = dict.fromkeys(asked, "asked for")
        else:
            broken = [s.name for s in status.steps if s.state.is_final and s.state != State.DONE]
            forced = dict.fromkeys(past.behind(broken), "behind a step that is rerun")
        decisions = []
        for step in status.steps:
            if step.name in forced:
                refuse_running(step)
                reason = _why(step) if step.state is not State.DONE else forced[step.name]
                decisions.append(Decision(step.name, Action.RERUN, reason))
            elif step.state is State.DONE:
                decisions.append(Decision(step.name, Action.KEEP, "done"))
            elif step.state.is_final:
                decisions.append(Decision(step.name, Action.KEEP, "not asked for"))
            else:
                decisions.append(Decision(step.name, Action.WAIT, step.state.lower()))
        refuse_past_failures(past, status, forced)
        return decisions

    def _take_out_of_the_queue(
        self, past: History, status: RunStatus, rerun: Collection[str]
    ) -> None:
        """Cancel old jobs of steps that are rerun, such as those that would wait for ever."""
        wanted = set(rerun)
        queued = [s.name for s in status.steps if s.name in wanted and s.queued]
        if queued:
            self.backend.cancel(jobs_of(past, status, queued))

    def _submit(self, past: History, status: RunStatus, rerun: list[str]) -> None:
        number = past.last_submission + 1
        manifest = self.run.manifest
        live = _live_parents(past, status, rerun)
        resources = {name: self._resources(past, name) for name in rerun}
        tree = stored_tree(manifest["tree"], resources, rerun)
        graph = lower(
            tree,
            key_of=lambda task: f"{resources[task.name].key} {task.launches} {live[task.name]}",
            cluster_name=self.backend.cluster_name,
            max_array_size=self.backend.max_array_size,
        )
        self.backend.check(graph, self.run.path)
        self._take_out_of_the_queue(past, status, rerun)
        submit_stages(
            self.run,
            graph,
            number,
            self.backend,
            slugs={leaf.name: leaf.slug for leaf in past.leaves},
            calls={task.name: _stored_call(task) for task, _ in tasks(tree)},
            progress=self.progress,
            extra=_dependencies(graph, live),
        )

    def _resources(self, past: History, name: str) -> Resources:
        if name in self.resources:
            return self.resources[name]
        place = past.placements.get(name)
        if place is None:
            raise RunError(f"nothing is known of how step {name!r} was to be submitted")
        return Resources(place.options)


def refuse_running(step: StepStatus) -> None:
    """A step that runs at this moment is not started a second time."""
    if step.state is State.RUNNING:
        raise RunError(
            f"step {step.name!r} is running (job {step.job})",
            hint=f"planit cancel {step.name}, or wait until it ends",
        )


def refuse_past_failures(past: History, status: RunStatus, rerun: Collection[str]) -> None:
    """A step never starts where a step before it did not succeed, and is not rerun either."""
    broken = {s.name: s.state for s in status.steps if s.state.is_final and s.state != State.DONE}
    for name in rerun:
        for parent in past.parents.get(name, ()):
            if parent in broken and parent not in rerun:
                raise RunError(
                    f"step {name!r} waits for {parent!r}, which is {broken[parent]}",
                    hint=f"rerun that too, for instance with --from {parent}",
                )


def _why(step: StepStatus) -> str:
    if step.state is State.BLOCKED:
        return step.cause or "blocked"
    return f"{step.state.lower()}: {step.cause}" if step.cause else step.state.lower()


def _live_parents(
    past: History, status: RunStatus, rerun: Collection[str]
) -> dict[str, tuple[JobRef, ...]]:
    """For each step that is rerun, the jobs that it must still wait for.

    The way up from a step ends at a step that is rerun too (an edge of the new submission), and at
    a live one; a done one is passed through.
    """
    again = set(rerun)
    live: dict[str, JobRef] = {
        step.name: JobRef(step.cluster, step.job)
        for step in status.steps
        if step.job is not None and not step.state.is_final and step.name not in again
    }
    above: dict[str, dict[JobRef, None]] = {}
    for leaf in past.leaves:
        refs: dict[JobRef, None] = {}
        for parent in past.parents.get(leaf.name, ()):
            if parent in live:
                refs[live[parent]] = None
            elif parent not in again:
                refs |= above.get(parent, {})
        above[leaf.name] = refs
    return {name: tuple(above[name]) for name in rerun}


def _dependencies(
    graph: Graph, live: Mapping[str, tuple[JobRef, ...]]
) -> dict[int, list[Dependency]]:
    """Steps of one stage wait for the same live jobs: that is a part of their key."""
    return {
        stage.number: [Dependency(EdgeKind.AFTEROK, job) for job in live[stage.tasks[0].name]]
        for stage in graph.stages
    }


def _stored_call(task: Task) -> Call:
    """The function of a stored step, for its code and whether it can checkpoint.

    What the job imports to build arguments is imported here too, so that its code is frozen.

    Raises:
        PlanError: any of it cannot be imported, so the job would fail at once.
    """
    function: Any = CommandCall("")
    if isinstance(task, StoredStep) and task.kind != "Command" and _is_path(task.func):
        try:
            function = resolve(str(task.func))
            for target in task.targets:
                resolve_target(target)
        except PlanError as error:
            raise PlanError(f"step {task.name!r}: {error.message}", hint=error.hint) from None
    return Call(function, (), {})


def _is_path(func: Any) -> bool:
    return isinstance(func, str) and all(part.isidentifier() for part in func.split("."))
