"""The plan in this process: submitit's debug jobs, in order.

Parallel branches run in threads, or, for debuggers, all steps one by one in the calling thread.
"""

from __future__ import annotations

import os
import traceback
from bdb import BdbQuit
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from submitit import DebugExecutor, Job
from submitit.core.utils import UncompletedJobError

from planit.backends.configurable import Configurable
from planit.backends.debug.per_thread import of_threads, variables
from planit.errors import PlanError, StepsFailedError
from planit.graph import Graph, Part, Tracker, lower, to_run
from planit.job.call import calls_of
from planit.job.hydra.app_run import AppRun, put_back
from planit.job.hydra.hydra_config import of_this_process
from planit.job.standing import CurrentStep, standing, surroundings
from planit.nodes import Node, Task, tasks
from planit.nodes.functions import has_run
from planit.nodes.step_environment import ENVIRONMENT, with_variables
from planit.record.files import make_dir, slugs
from planit.record.manifest import trees_of
from planit.record.manifest_tree import standing_tree
from planit.record.markers import Attempt
from planit.record.plain_data import plain_data
from planit.record.run_dir import DEBUG, RunDir

MAX_THREADS = 64


@dataclass
class DebugBackend(Configurable):
    """Runs plans in this process, without a record."""

    name: ClassVar[str] = "debug"
    SETTINGS: ClassVar[tuple[str, ...]] = ()

    def prepare(self, plan: str, root: Node, folder: Path, part: Part | None = None) -> DebugRun:
        """The plan's jobs, in order; nothing runs yet. Raises PlanError if the plan is wrong."""
        return debugged(plan, root, DebugExecutor(folder), part)


@dataclass(frozen=True)
class DebugRun:
    """A plan that waits to be run in this process.

    Attributes:
        plan: its name.
        jobs: by step, in the order of the plan.
        graph: its stages, each of one step, in the same order.
    """

    plan: str
    jobs: Mapping[str, Job[Any]]
    graph: Graph

    def in_threads(self) -> None:
        """Run each step as soon as it may start.

        A failed step stops what depends on it; everything else still runs.

        Raises:
            StepsFailedError: names every failed step with its traceback.
        """
        progress = _DebugProgress(self)
        running: dict[Future[Any], Task] = {}
        threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="planit")
        with of_threads(), threads as pool:
            try:
                while progress.tracker.open:
                    while (task := progress.tracker.next()) is not None:
                        running[pool.submit(_call, self.jobs[task.name])] = task
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        progress.end(running.pop(future), future.exception())
            except KeyboardInterrupt:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        progress.finish()

    def one_by_one(self, starts: Callable[[str], None]) -> None:
        """Run all steps in the order of the plan, in this thread: one debugger has the terminal.

        `starts` is called with the name of each step before it runs.

        Raises:
            StepsFailedError: names every failed step with its traceback.
        """
        progress = _DebugProgress(self)
        while (task := progress.tracker.next()) is not None:
            starts(task.name)
            error: BaseException | None = None
            try:
                _call(self.jobs[task.name])
            except BdbQuit:  # the debugger's "quit" means all of it
                raise KeyboardInterrupt from None
            except KeyboardInterrupt:
                raise
            except BaseException as problem:
                error = problem
            progress.end(task, error)
        progress.finish()


class _DebugProgress:
    """What has happened so far to the steps of a run."""

    def __init__(self, run: DebugRun) -> None:
        self.run = run
        self.tracker: Tracker[Task] = Tracker(run.graph.stages)
        self.failures: dict[str, str] = {}
        self.blocked: set[str] = set()

    def end(self, task: Task, error: BaseException | None) -> None:
        if error is not None:
            self.failures[task.name] = "".join(traceback.format_exception(error))
        blocked = self.tracker.end(task, succeeded=error is None)
        self.blocked.update(one.name for one in blocked)

    def finish(self) -> None:
        """Cancel the jobs of blocked steps. Raises StepsFailedError if a step failed."""
        blocked = [name for name in self.run.jobs if name in self.blocked]
        for name in blocked:
            self.run.jobs[name].cancel()
        if self.failures:
            raise StepsFailedError(self.run.plan, self.failures, blocked)


def debugged(plan: str, root: Node, executor: Any, part: Part | None = None) -> DebugRun:
    """The plan's jobs, in order; nothing runs yet. Raises PlanError if the plan is wrong."""
    run = RunDir(Path(executor.folder).absolute() / DEBUG)
    names = slugs(task.name for task, _ in tasks(root))
    whole = root
    root = to_run(whole, part, lambda name: run.step_dir(names[name]))
    tree = standing_tree(trees_of(whole, root, names, part))
    graph = lower(root, stack=False, packs=False)
    environments = {task.name: _environment_of(task) for task, _ in tasks(root)}
    calls = calls_of((task for task, _ in tasks(root)), of_this_process())
    folders, alone = _Folders(run.path), Lock()
    results = dict[str, Any]()
    jobs = {}
    for name, call in calls.items():
        made: Any = call.in_job
        if isinstance(made, AppRun):
            made = _ProgramHere(made, alone)
        step = CurrentStep(
            name,
            run.path,
            run.step_dir(names[name]),
            Attempt(1, 0),
            partial(surroundings, plan, tree, name, run, results.get),
        )
        function = _InProcessCall(made, step, folders, results)
        job = jobs[name] = executor.submit(function, *call.args, **call.kwargs)
        function.environment = environments[name] | {
            "PLANIT_RUN_DIR": str(run.path),
            "PLANIT_STEP": name,
            "PLANIT_STEP_DIR": str(function.step_dir),
            "SUBMITIT_EXECUTOR": "debug",
            "SUBMITIT_DEBUG_JOB_ID": job.job_id,
            "SUBMITIT_FOLDER": str(executor.folder),
        }
    return DebugRun(plan, jobs, graph)


def _environment_of(task: Task) -> dict[str, str]:
    """The step's own variables. Raises PlanError if it asks for more, which needs a shell."""
    options = task.resources.options
    asked = [name for name in (*ENVIRONMENT, "teardown") if options.get(name)]
    if cannot := [name for name in asked if name not in ("env", "srun_args")]:
        raise PlanError(
            f"step {task.name!r} asks for {', '.join(cannot)}, and the debug backend runs it in"
            " this process",
            hint="use backend=local, or leave it out here",
        )
    found: dict[str, str] = {}
    for name, value in (options.get("env") or {}).items():
        try:
            found[name] = with_variables(value, {**os.environ, **found})
        except KeyError as error:
            raise PlanError(f"step {task.name!r}: env.{name}: {error} is not set") from None
    return found


class _Folders:
    """The folders of the steps of a run: they stay if something is in them.

    Attributes:
        lock: held while they are made or removed.
    """

    def __init__(self, path: Path) -> None:
        self.lock = Lock()
        self._was_there = {folder for folder in path.absolute().parents if folder.exists()}

    def remove_empty(self, folder: Path) -> None:
        """Remove a folder, and those above it that were not there before, if they are empty."""
        with suppress(OSError):
            while folder not in self._was_there:
                folder.rmdir()
                folder = folder.parent


@dataclass(frozen=True)
class _ProgramHere:
    """A Hydra program, which has Hydra and the logging of the process for itself while it runs."""

    run: AppRun
    alone: Lock

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        with self.alone, put_back():
            return self.run(*args, **kwargs)


class _InProcessCall:
    """A step's function with the variables and the folder that it has on every backend.

    What failed is not called again: submitit's debug jobs would, when they are asked for the error.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        step: CurrentStep,
        folders: _Folders,
        results: dict[str, Any],
    ) -> None:
        self.function = function
        self.step = step
        self.step_dir = step.dir
        self._results = results
        self._folders = folders
        self.environment: dict[str, str] = {}
        self._error: BaseException | None = None

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if self._error is not None:
            raise self._error
        with self._folders.lock:
            make_dir(self.step_dir)
        try:
            with variables(self.environment), standing(self.step):
                return self._kept(has_run(self.function(*args, **kwargs)))
        except SystemExit as stop:
            if stop.code in (None, 0):  # leaving so is not a failure
                return None
            self._error = stop
            raise
        except BaseException as error:
            self._error = error
            raise
        finally:
            with self._folders.lock:
                self._folders.remove_empty(self.step_dir)

    def _kept(self, value: Any) -> Any:
        if (plain := plain_data(value)) is not None:
            self._results[self.step.name] = plain.value
        return value


def _call(job: Job[Any]) -> Any:
    """Make a step's call, as the job's `results` would, but without a debugger."""
    if job.state == "CANCELLED":
        raise UncompletedJobError(f"job {job.job_id} was cancelled")
    return job.submission().result()
