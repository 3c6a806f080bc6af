"""Submits again what is not done, and nothing else.

Done steps are kept, running and waiting ones too. What failed, was cancelled, got lost or was
never submitted is submitted again with everything behind it, in a new submission of the same run,
from the same pickled calls. An edge to a done step is dropped, for Slurm may no longer know its id
and would then run the child at once; an edge to a running step becomes a dependency on its job.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from planit.backends.base import Backend, refuse_left
from planit.errors import PlanError, RunError, SchedulerError, suggest
from planit.graph import lower
from planit.job.call import Call, resolve_target
from planit.job.command import CommandCall
from planit.job.hydra.programs import run_of
from planit.nodes import Resources, Task, tasks
from planit.nodes.functions import resolve
from planit.record import history as histories
from planit.record import trust
from planit.record.files import told_of
from planit.record.frozen_code import CodeUsed
from planit.record.history import History
from planit.record.lock import RunLock
from planit.record.manifest_tree import leaves_of, packed_jobs
from planit.record.run_dir import CHECKPOINT, RunDir
from planit.record.submitted_tree import SubmittedStep, submitted_tree
from planit.status.run_status import run_status
from planit.status.states import RunStatus
from planit.submit.cancellation import jobs_of, refuse_part_of_packed
from planit.submit.decisions import ResumeDecision, decide, rerun_of
from planit.submit.freezing import freeze
from planit.submit.interrupted import clear_strays, finish_interrupted, refuse_unreadable
from planit.submit.live_parents import live_dependencies, live_needed, live_parents
from planit.submit.new import on_default_cluster, submit_stages
from planit.submit.project import Freeze, survey
from planit.submit.recorded_calls import (
    REMOVED,
    NewArgument,
    RecordedCalls,
    recorded_calls,
    with_new_arguments,
)
from planit.submit.submission import Progress, no_progress

Edit: TypeAlias = Callable[[Mapping[str, Resources]], Mapping[str, Resources]]
"""Gives the new submission parameters of steps, by name, from those they have; may refuse."""


@dataclass
class Resume:
    """One resume of a run.

    Attributes:
        run: the run.
        backend: who takes the jobs.
        start_from: rerun these steps and everything behind them, done or not.
        only: rerun just these steps.
        edit: gives new submission parameters to what is rerun; None leaves them as they are.
        arguments: other arguments for what is rerun.
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
    arguments: Sequence[NewArgument] = ()
    progress: Progress = no_progress

    def __post_init__(self) -> None:
        self.run = RunDir(trust.refuse_untrusted(self.run.path))

    def plan(self) -> list[ResumeDecision]:
        """What would be done, without doing anything."""
        history = histories.read(self.run)
        decisions = decide(history, self._look(history), self.start_from, self.only)
        rerun = rerun_of(decisions)
        self._resources(history, rerun)
        self._refuse_without_effect(rerun)
        if self.arguments:
            with recorded_calls(self.run, history, frozen_code=self.frozen_code) as recorded:
                self._new_calls(recorded, rerun)
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
            finish = self.edit is None and not self.arguments
            history = finish_interrupted(self.run, history, self.backend, finish=finish)
            clear_strays(self.run, history, self.backend)
            status = self._look(history)
            decisions = decide(history, status, self.start_from, self.only)
            rerun = rerun_of(decisions)
            self._refuse_without_effect(rerun)
            refuse_part_of_packed(history, status, rerun, "rerun")
            if rerun:
                with recorded_calls(self.run, history, frozen_code=self.frozen_code) as recorded:
                    self._submit(history, status, rerun, recorded)
        return decisions

    def _new_calls(self, recorded: RecordedCalls, rerun: Collection[str]) -> dict[str, Call]:
        """The calls of steps with other arguments, by name; of those that are rerun."""
        if not self.arguments:
            return {}
        leaves = {leaf["name"]: leaf for leaf in leaves_of(self.run.manifest["tree"])}
        wanted = {name: leaves[name] for name in rerun}
        return with_new_arguments(recorded, wanted, self.arguments, self._directory)

    def _refuse_without_effect(self, rerun: Collection[str]) -> None:
        """Raise RunError for a new argument of which no step is rerun."""
        for one in self.arguments:
            if one.steps and set(one.steps).isdisjoint(rerun):
                raise RunError(
                    f"{one.text} has no effect: no step that is rerun has it",
                    hint=f"--from {min(one.steps)} reruns a step that is done",
                )

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

    def _take_out_of_the_queue(
        self, history: History, status: RunStatus, rerun: Collection[str]
    ) -> None:
        """Cancel old jobs of steps that are rerun, such as those that would wait for ever."""
        wanted = set(rerun)
        queued = [s.name for s in status.steps if s.name in wanted and s.queued]
        left = self.backend.cancel(jobs_of(history, status, queued)) if queued else {}
        refuse_left(left)

    def _submit(
        self, history: History, status: RunStatus, rerun: list[str], recorded: RecordedCalls
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
            packs=self.backend.packs,
        )
        self.backend.check(graph, self.run.path)
        new = self._new_calls(recorded, rerun)
        calls = {task.name: self._call_of(task) for task, _ in tasks(tree)} | new
        pickled = recorded.of_stages(graph, new)
        code = self._code(recorded.code, calls)
        self._take_out_of_the_queue(history, status, rerun)
        slugs = {leaf.name: leaf.slug for leaf in history.leaves}
        for one in self.arguments:
            self._write_down(one, number, [name for name in rerun if name in one.steps])
        for name in new:  # a saved call would go on with the old ones
            (self.run.step_dir(slugs[name]) / CHECKPOINT).unlink(missing_ok=True)
        submit_stages(
            self.run,
            graph,
            number,
            self.backend,
            code=code,
            slugs=slugs,
            calls=calls,
            pickled=pickled,
            progress=self.progress,
            extra=live_dependencies(graph, live, history),
            also=live_needed(graph, live, history),
        )

    def _write_down(self, one: NewArgument, number: int, steps: Sequence[str]) -> None:
        value = {} if one.value is REMOVED else {"value": one.value}
        self.run.journal.append(
            "changed", number=number, text=one.text, path=list(one.path), steps=steps, **value
        )

    def _resources(self, history: History, names: Collection[str]) -> dict[str, Resources]:
        """The parameters of steps that are rerun, edited. Raises what the edit raises."""
        if lost := [name for name in names if name not in history.placements]:
            raise RunError(f"there is no record of how step {lost[0]!r} was submitted")
        now = {name: Resources(history.placements[name].options) for name in names}
        now |= self._packed_jobs(history, now)
        if self.edit is None or not now:
            return now
        new = self.edit(now)
        for name in new:
            if name not in now:
                raise RunError(f"step {name!r} is not rerun", hint=suggest(name, now))
        return now | {name: on_default_cluster(new[name], self.backend) for name in new}

    def _packed_jobs(self, history: History, steps: Collection[str]) -> dict[str, Resources]:
        """The parameters of the jobs that steps are packed in, by their keys in the manifest."""
        found: dict[str, Resources] = {}
        for key, job in packed_jobs(self.run.manifest["tree"]):
            for leaf in leaves_of(job):
                if leaf["name"] in steps:
                    place = history.placements[leaf["name"]]
                    found[key] = Resources(place.packed or job["slurm"])
                    break
        return found


def _is_path(func: Any) -> bool:
    return isinstance(func, str) and all(part.isidentifier() for part in func.split("."))
