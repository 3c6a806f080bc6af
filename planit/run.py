"""`Run`: what was submitted, from any later process."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from planit.backends import registry
from planit.backends.base import Backend
from planit.errors import RunError, StepsFailedError, suggest
from planit.graph.step_names import known_names, steps_named
from planit.nodes import Resources
from planit.nodes.slurm_args import changed
from planit.record import history as histories
from planit.record import index, run_bases
from planit.record.run_dir import RunDir
from planit.status.result_rows import StepResult, run_results
from planit.status.run_status import run_status
from planit.status.states import RunStatus, State
from planit.submit.cancellation import Cancelled, cancel
from planit.submit.decisions import ResumeDecision
from planit.submit.recorded_calls import NewArgument
from planit.submit.resumption import Edit, Resume

_FIRST_PAUSE_S = 0.5
_PAUSE_PER_POLL = 4  # times as long as the poll took: the steps need the machine, too


class Run:
    """A submitted plan: ``Run.open()`` is the latest one.

    Attributes:
        path: its run directory.
        run_id: its id, unique below the folder of the runs.
    """

    def __init__(self, path: Path, *, backend: Backend | None = None) -> None:
        self._dir = RunDir(Path(path))
        self.backend = backend or registry.of_run(self._dir)

    @classmethod
    def open(cls, run: str | None = None, *, base: str | Path | None = None) -> Run:
        """A run by id, a part of one that no other has, plan name or path; by default the latest.

        Args:
            run: what `planit status` takes for a run.
            base: the folder of the runs; by default ``planit_runs``, and wherever else runs were
                submitted to from the working directory.

        Raises:
            RunError: there is none, or there are several.
        """
        usual = (index.DEFAULT_BASE, *run_bases.of_folder(Path.cwd()))
        bases = run_bases.each_once(usual) if base is None else [Path(base)]
        return cls(index.find(bases, run).path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @property
    def path(self) -> Path:
        return self._dir.path

    @property
    def run_id(self) -> str:
        return self._dir.run_id

    @property
    def plan(self) -> str:
        """Name of its plan."""
        return str(self._dir.manifest["plan"])

    def status(self) -> RunStatus:
        """The state of every step now; at most one squeue and one sacct call per cluster.

        Raises:
            RunError: the folder is not a run directory.
        """
        return run_status(self._dir, self.backend.client)

    def results(self, step: str | None = None) -> list[StepResult]:
        """What the branches of a sweep returned so far, a row for each, in the order of the plan.

        Args:
            step: the name of a step, with its branch (``train[lr=0.1]``) or without (``train``, for
                all branches). By default the last step of the branches of which one has returned
                something; in a plan without a sweep, every step.

        Returns:
            Rows with `step`, `values` (the swept parameters), `state`, `result` (None unless the
            step is done and returned plain data: numbers, text, booleans, and lists and mappings
            of them, of at most 64 KB), `elapsed_s` (seconds), and `is_pickled` (whether it
            returned anything else: only its job's `result` unpickles that).

        Raises:
            RunError: there is no such step, or the folder is not a run directory.
        """
        return list(run_results(self._dir, self.backend.client, step).rows)

    def cancel(self, *steps: str) -> Cancelled:
        """Cancel the given steps and everything behind them; without any, all that is not final.

        Raises:
            RunError: an unknown step, or somebody else is working on the run.
            SchedulerError: Slurm does not answer.
        """
        return cancel(self._dir, self.backend, steps)

    def resume(
        self,
        *,
        start_from: Collection[str] = (),
        only: Collection[str] = (),
        slurm: Mapping[str, Any] | None = None,
        resources: Mapping[str, Resources] | Edit | None = None,
        dry_run: bool = False,
        frozen_code: bool = False,
        arguments: Mapping[str, Mapping[str, Any]] | Sequence[NewArgument] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> list[ResumeDecision]:
        """Submit again what is not done, and everything behind it; keep the rest.

        Args:
            start_from: rerun these steps and everything behind them, done or not.
            only: rerun just these steps.
            slurm: fields to change for all that is rerun, such as ``{"time": "8"}``; those of
                `SlurmArgs`, or submitit's names for them. None unsets a field.
            resources: new submission parameters by step, or what gives them for those of all that
                is rerun; they win over `slurm`.
            dry_run: return what would be done, and do nothing.
            frozen_code: run the code that was submitted last. By default the jobs run the
                project's code as it is now, for a bug that was fixed is why one resumes.
            arguments: other arguments for what is rerun, by step: ``{"train": {"lr": 1e-4}}``; a
                name without its branch means all branches, ``"model.size"`` is a key inside an
                argument. They are kept by later resumes, and `planit status` tells of them.
            progress: called with (done, total): how many stages are submitted.

        Raises:
            RunError: an unknown or running step, or somebody else is working on the run.
            PlanError: a function cannot be imported, or a changed field is not valid.
            SchedulerError: Slurm does not answer.
            SubmissionError: Slurm refused a job; nothing new is left in the queue.
        """
        edit = _edit(slurm, resources)
        new = self._new_arguments(arguments) if isinstance(arguments, Mapping) else arguments
        job = Resume(self._dir, self.backend, start_from, only, edit, frozen_code, new)
        if progress is not None:
            job.progress = progress
        return job.plan() if dry_run else job.execute()

    def _new_arguments(self, given: Mapping[str, Mapping[str, Any]]) -> list[NewArgument]:
        """Other arguments by step as those of steps. Raises RunError for an unknown step."""
        leaves = list(histories.leaves(self._dir.manifest["tree"]))
        new = []
        for word, values in given.items():
            steps = [leaf.name for leaf in steps_named(leaves, word)]
            if not steps:
                raise RunError(
                    f"no step {word!r} in this run", hint=suggest(word, known_names(leaves))
                )
            for key, value in values.items():
                new.append(NewArgument(f"{word}.{key}={value!r}", steps, key.split("."), value))
        return new

    def wait(
        self,
        *,
        max_poll_interval_s: float | None = None,
        on_status: Callable[[RunStatus], None] | None = None,
    ) -> RunStatus:
        """Block until every step is final, or none that is left can start by itself.

        Args:
            max_poll_interval_s: longest pause between two polls, in seconds; by default 10, and 1
                for a run on this machine. Where a poll takes long, the pauses are longer too.
            on_status: called with the status of each poll.

        Raises:
            StepsFailedError: names every step that failed, with its traceback, or that will not
                start, with the scheduler's reason.
            RunError: the submission stopped in the middle, so nothing more will happen.
        """
        max_pause = max_poll_interval_s
        max_pause = self.backend.poll_interval_s if max_pause is None else max_pause
        pause = min(_FIRST_PAUSE_S, max_pause)
        was_stuck = False  # one answer alone may be a moment's
        while True:
            began = time.monotonic()
            status = self.status()
            took = time.monotonic() - began
            if on_status is not None:
                on_status(status)
            if status.incomplete:
                raise RunError(
                    f"the submission of run {self.run_id} stopped in the middle",
                    hint="planit resume finishes it, planit cancel clears it",
                )
            if status.is_final or (status.is_stuck and was_stuck):
                break
            was_stuck = status.is_stuck
            time.sleep(max(pause, _PAUSE_PER_POLL * took))
            pause = min(max_pause, pause * 1.5)
        if not status.succeeded:
            raise failure_of(status)
        return status


def failure_of(status: RunStatus) -> StepsFailedError:
    """One error that names all that failed, and what never ran because of it."""
    failures = {
        step.name: (step.error or {}).get("traceback") or f"{step.state}: {step.cause or ''}"
        for step in status.steps
        if step.state.is_failure or step.never or step.state is State.HELD
    }
    done = {State.DONE}
    blocked = [s.name for s in status.steps if s.name not in failures and s.state not in done]
    waiting = [step.name for step in status.steps if not step.state.is_final]
    return StepsFailedError(status.plan, failures, blocked, waiting)


def _edit(
    slurm: Mapping[str, Any] | None, resources: Mapping[str, Resources] | Edit | None
) -> Edit | None:
    if not slurm and not resources:
        return None

    def edit(now: Mapping[str, Resources]) -> Mapping[str, Resources]:
        new = {name: changed(old, slurm) for name, old in now.items()} if slurm else {}
        return {**new, **(resources({**now, **new}) if callable(resources) else resources or {})}

    return edit
