"""Submits again what is not done, and nothing else.

Done steps are kept, running and waiting ones too. What failed, was cancelled, got lost or was
never submitted is submitted again with everything behind it, in a new submission of the same run,
from the same pickled calls. An edge to a done step is dropped, for Slurm may no longer know its id
and would then run the child at once; an edge to a running step becomes a dependency on its job.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

from planit.backends.base import Backend, refuse_left
from planit.errors import PlanError, RunError, SchedulerError, suggest
from planit.graph import Graph, lower
from planit.job import frozen
from planit.job.call import Call, resolve_target
from planit.job.command import CommandCall
from planit.job.hydra.programs import run_of
from planit.nodes import Resources, Task, tasks
from planit.nodes.functions import resolve
from planit.record import context, trust
from planit.record import history as histories
from planit.record.call_file import CallFile, PickledCalls, copied
from planit.record.files import told_of
from planit.record.frozen_code import CodeUsed
from planit.record.history import History
from planit.record.lock import RunLock
from planit.record.run_dir import RunDir
from planit.record.stage_dir import open_calls
from planit.record.submitted_tree import SubmittedStep, submitted_tree
from planit.status.run_status import run_status
from planit.status.states import RunStatus, State, StepStatus
from planit.submit.cancellation import jobs_of, refuse_unknown
from planit.submit.freezing import freeze
from planit.submit.interrupted import clear_strays, finish_interrupted, refuse_unreadable
from planit.submit.live_parents import live_dependencies, live_needed, live_parents
from planit.submit.new import on_default_cluster, submit_stages
from planit.submit.prepare import limits_of
from planit.submit.project import Freeze, survey
from planit.submit.submission import Progress, no_progress

Edit: TypeAlias = Callable[[Mapping[str, Resources]], Mapping[str, Resources]]
"""Gives the new submission parameters of steps, by name, from those they have; may refuse."""


class ResumeAction(enum.StrEnum):
    """What a resume does with a step."""

    KEEP = "keep"
    RERUN = "rerun"
    WAIT = "wait"


@dataclass(frozen=True)
class ResumeDecision:
    """What a resume does with a step, and why."""

    step: str
    action: ResumeAction
    reason: str


@dataclass
class Resume:
    """One resume of a run.

    Attributes:
        run: the run.
        backend: who takes the jobs.
        start_from: rerun these steps and everything behind them, done or not.
        only: rerun just these steps.
        edit: gives new submission parameters to what is rerun; None leaves them as they are.
        frozen_code: run the code that was submitted last, not that of now.

    Raises:
        RunError: another user could have written the run.
    """

    run: RunDir
    backend: Backend
    start_from: Collection[str] = ()
    only: Collection[str] = ()
    edit: Edit | None = None
    frozen_code: bool = False
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        self.run = RunDir(trust.refuse_untrusted(self.run.path))

    def plan(self) -> list[ResumeDecision]:
        """What would be done, without doing anything."""
        history = histories.read(self.run)
        decisions = self._decide(history, self._look(history))
        self._resources(history, _rerun(decisions))
        return decisions

    def execute(self) -> list[ResumeDecision]:
        """Do it.

        Raises:
            SubmissionError: a stage was refused; all that had been submitted is cancelled.
            RunError: somebody else is working on the run, or a step to rerun is running.
            StorageError: nothing can be written to the run.
            SchedulerError: Slurm does not answer, so nobody knows what still runs.
        """
        with told_of(self.run.path), RunLock(self.run.path):
            history = histories.read(self.run)
            refuse_unreadable(self.run, history)
            self._resources(history, history.placements)  # what is wrong is refused first
            finish = self.edit is None
            history = finish_interrupted(self.run, history, self.backend, finish=finish)
            clear_strays(self.run, history, self.backend)
            status = self._look(history)
            decisions = self._decide(history, status)
            if rerun := _rerun(decisions):
                before = context.read(self.run.path, history.last_submission)
                # The functions are where they were: a resume may be called from anywhere.
                with trust.opened(self.run.path) as opened, frozen.importable(before.sys_path):
                    if self.frozen_code:
                        frozen.use(opened, before.code)
                    self._submit(history, status, rerun, before.code)
        return decisions

    def _code(self, before: CodeUsed, calls: Mapping[str, Call]) -> CodeUsed:
        """The code that is run: of now, so that a bug that was fixed since is fixed."""
        if self.frozen_code:
            return before
        gone = [folder.root for folder in before.folders if not Path(folder.root).is_dir()]
        if gone:
            raise RunError(
                f"the project's folder {gone[0]} is no longer there",
                hint="--frozen-code runs what was submitted",
            )
        wanted = Freeze(before.mode, before.limit_mb)
        roots = [Path(folder.root) for folder in before.folders if folder.whole]
        runs = (self.run.path.parents[1], self.run.path.parent)
        project = survey(calls.values(), wanted, runs, self._directory, roots)
        return freeze(self.run, project, before.limit_mb)

    @property
    def _directory(self) -> Path:
        """The working directory of the submission."""
        return Path(str(self.run.manifest.get("directory") or "."))

    def _call_of(self, task: Task) -> Call:
        """The function of a submitted step, for its code and whether it can checkpoint.

        What the job imports to build arguments is imported here too, so that its code is frozen.

        Raises:
            PlanError: any of it cannot be imported, so the job would fail at once.
        """
        function: Any = CommandCall("")
        if isinstance(task, SubmittedStep) and task.kind != "Command":
            try:
                if _is_path(task.func):
                    function = resolve(str(task.func))
                elif task.kind == "HydraApp" and not self.frozen_code:
                    function = run_of(task.app, task.script, self._directory)
                for target in task.targets:
                    resolve_target(target)
            except PlanError as error:
                hint = f"{error.hint}; or run what was submitted, with --frozen-code"
                raise PlanError(f"step {task.name!r}: {error.message}", hint=hint) from None
        return Call(function, (), {})

    def _look(self, history: History) -> RunStatus:
        status = run_status(self.run, self.backend.client, history=history, ask_all=True)
        if status.stale:
            raise SchedulerError(
                f"cannot tell what still runs: {'; '.join(status.problems)}",
                hint="try again when Slurm answers",
            )
        return status

    def _decide(self, history: History, status: RunStatus) -> list[ResumeDecision]:
        refuse_unknown(history, [*self.start_from, *self.only])
        asked = set(self.only) or history.behind(self.start_from)
        if asked:
            forced = dict.fromkeys(asked, "asked for")
        else:
            ended = [s for s in status.steps if s.state.is_final or s.never]
            broken = [s.name for s in ended if s.state != State.DONE]
            forced = dict.fromkeys(history.behind(broken), "behind a step that is rerun")
        decisions = []
        for step in status.steps:
            if step.name in forced:
                refuse_running(step)
                reason = _why(step) if step.state is not State.DONE else forced[step.name]
                decisions.append(ResumeDecision(step.name, ResumeAction.RERUN, reason))
            elif step.state is State.DONE:
                decisions.append(ResumeDecision(step.name, ResumeAction.KEEP, "done"))
            elif step.state.is_final:
                decisions.append(ResumeDecision(step.name, ResumeAction.KEEP, "not asked for"))
            else:
                decisions.append(ResumeDecision(step.name, ResumeAction.WAIT, step.state.lower()))
        refuse_failed_parents(history, status, forced)
        refuse_waiting_children(history, status, forced)
        return decisions

    def _take_out_of_the_queue(
        self, history: History, status: RunStatus, rerun: Collection[str]
    ) -> None:
        """Cancel old jobs of steps that are rerun, such as those that would wait for ever."""
        wanted = set(rerun)
        queued = [s.name for s in status.steps if s.name in wanted and s.queued]
        left = self.backend.cancel(jobs_of(history, status, queued)) if queued else {}
        refuse_left(left)

    def _submit(
        self, history: History, status: RunStatus, rerun: list[str], before: CodeUsed
    ) -> None:
        number = history.last_submission + 1
        manifest = self.run.manifest
        live = live_parents(history, status, rerun)
        resources = self._resources(history, rerun)
        tree = submitted_tree(manifest["tree"], resources, rerun)
        graph = lower(
            tree,
            key_of=lambda task: f"{resources[task.name].key} {task.launches} {live[task.name]}",
            cluster_name=self.backend.cluster_name,
            max_array_size=self.backend.max_array_size,
        )
        self.backend.check(graph, self.run.path)
        calls = {task.name: self._call_of(task) for task, _ in tasks(tree)}
        code = self._code(before, calls)
        self._take_out_of_the_queue(history, status, rerun)
        submit_stages(
            self.run,
            graph,
            number,
            self.backend,
            code=code,
            slugs={leaf.name: leaf.slug for leaf in history.leaves},
            calls=calls,
            pickled=_pickled_again(self.run, graph, history),
            progress=self.progress,
            extra=live_dependencies(graph, live, history),
            also=live_needed(graph, live, history),
        )

    def _resources(self, history: History, names: Collection[str]) -> dict[str, Resources]:
        """The parameters of steps that are rerun, edited. Raises what the edit raises."""
        if lost := [name for name in names if name not in history.placements]:
            raise RunError(f"there is no record of how step {lost[0]!r} was submitted")
        now = {name: Resources(history.placements[name].options) for name in names}
        if self.edit is None or not now:
            return now
        new = self.edit(now)
        for name in new:
            if name not in now:
                raise RunError(f"step {name!r} is not rerun", hint=suggest(name, now))
        return now | {name: on_default_cluster(new[name], self.backend) for name in new}


def _rerun(decisions: Sequence[ResumeDecision]) -> list[str]:
    return [decision.step for decision in decisions if decision.action is ResumeAction.RERUN]


def _pickled_again(run: RunDir, graph: Graph, history: History) -> dict[int, PickledCalls]:
    """The calls of each new stage as they were pickled, with the time limits of now.

    Raises:
        RunError: another user could have written them, or they are damaged.
    """
    with ExitStack() as stack:
        opened = stack.enter_context(trust.opened(run.path))

        @cache
        def calls_of(submission: int, stage: int) -> CallFile:
            return CallFile(stack.enter_context(open_calls(opened, submission, stage)))

        pickled = {}
        for stage in graph.stages:
            places = [history.placements[task.name] for task in stage.tasks]
            chosen = [(calls_of(one.submission, one.stage), one.index or 0) for one in places]
            limits = limits_of(stage, chosen[0][0].limits.requeues)
            pickled[stage.number] = copied(chosen, limits)
        return pickled


def refuse_running(step: StepStatus) -> None:
    """A step that runs at this moment is not started a second time."""
    if step.state is State.RUNNING:
        raise RunError(
            f"step {step.name!r} is running (job {step.job})",
            hint=f"planit cancel {step.name}, or wait until it ends",
        )


def refuse_failed_parents(history: History, status: RunStatus, rerun: Collection[str]) -> None:
    """A step never starts where a step before it did not succeed, and is not rerun either."""
    broken = {s.name: s.state for s in status.steps if s.state.is_final and s.state != State.DONE}
    for name in rerun:
        for parent in history.parents.get(name, ()):
            if parent in broken and parent not in rerun:
                raise RunError(
                    f"step {name!r} waits for {parent!r}, which is {broken[parent]}",
                    hint=f"rerun that too, for instance with --from {parent}",
                )


def refuse_waiting_children(history: History, status: RunStatus, rerun: Collection[str]) -> None:
    """What waits in the queue behind a step would not wait for a second run of it."""
    for step in status.steps:
        if step.state.is_final or step.name in rerun:
            continue
        for parent in history.parents.get(step.name, ()):
            if parent in rerun:
                raise RunError(
                    f"step {step.name!r} behind {parent!r} is {step.state} (job {step.job})",
                    hint=f"rerun both with --from {parent}, or cancel {step.name} first",
                )


def _why(step: StepStatus) -> str:
    if step.state is State.BLOCKED:
        return step.cause or "blocked"
    return f"{step.state.lower()}: {step.cause}" if step.cause else step.state.lower()


def _is_path(func: Any) -> bool:
    return isinstance(func, str) and all(part.isidentifier() for part in func.split("."))
