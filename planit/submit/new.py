"""A new run of a plan: checked, written down, submitted, released."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.backends.base import Backend, Dependency, StageOnDisk
from planit.backends.submitit_jobs import StepJob
from planit.backends.watcher import ClusterWatcher
from planit.errors import StorageError
from planit.graph import Graph, Part, lower, to_run
from planit.job.call import Call, calls_of
from planit.job.hydra.hydra_config import of_this_process
from planit.nodes import Node, Packed, Resources, Task, check_unique_names, tasks
from planit.nodes.flags import on_top
from planit.record import run_bases
from planit.record.bulk import uncollected
from planit.record.call_file import PickledCalls
from planit.record.files import is_group, slug_of, slugs, told_of
from planit.record.frozen_code import CodeUsed
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.manifest import describe_run, trees_of
from planit.record.run_dir import RunDir, absolute, new_run_id, place_of
from planit.record.stage_dir import Needed
from planit.record.task_files import TaskFiles
from planit.submit import prepare
from planit.submit.freezing import freeze
from planit.submit.project import Freeze, Project, survey
from planit.submit.submission import Progress, Submission, no_progress


@dataclass
class NewRun:
    """Starts a run.

    Attributes:
        plan, root: the plan.
        base: folder that run directories go to.
        backend: who takes the jobs.
        defaults: submission parameters for every step that does not set them itself.
        max_requeues: how often a checkpointing step is requeued after a time-out, by default.
        max_pickle_gb: the most that all calls together may take when pickled, in GiB.
        source: what the caller knows for the manifest: configuration, command line.
        share: "group" lets the group read the run; None, nobody else.
        freeze: how much of the code the jobs run as it is now.
        not_frozen: folders that are not code, such as those of earlier outputs.
        part: the steps that are run; by default all.
    """

    plan: str
    root: Node
    base: Path
    backend: Backend
    defaults: Mapping[str, Any] = field(default_factory=dict)
    max_requeues: int = 0
    max_pickle_gb: float = math.inf
    source: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = no_progress
    share: str | None = None
    freeze: Freeze = field(default_factory=Freeze)
    not_frozen: Sequence[Path] = ()
    part: Part | None = None

    @cached_property
    def run(self) -> RunDir:
        """The run directory that is made."""
        return RunDir(place_of(self.base, self.plan) / new_run_id())

    @cached_property
    def slugs(self) -> dict[str, str]:
        """The names of the steps' folders."""
        return slugs(task.name for task, _ in tasks(self.root))

    @cached_property
    def resolved(self) -> Node:
        """The tree of what is run, with paths where steps name the folders of others."""

        def folder_of(name: str) -> Path:
            return self.run.step_dir(self.slugs[name])

        return to_run(self.root, self.part, folder_of)

    def check(self) -> tuple[Graph, dict[str, Call]]:
        """All that can be refused before anything is written or submitted."""
        check_unique_names(self.root)
        is_group(self.share)
        graph = stages_of(self.resolved, self.defaults, self.backend)
        self.backend.check(graph)
        calls = calls_of((task for task, _ in tasks(self.resolved)), of_this_process())
        return graph, calls

    def start(self) -> tuple[RunDir, StepJobs]:
        """Submit. Returns the run directory and the steps' jobs in the order of the plan.

        Raises:
            PlanError: something of the plan is wrong, or its code is too large to be frozen;
                nothing was written.
            RunError: the run cannot be made there, or other users could replace it.
            StorageError: it cannot be written; nothing of it is left.
            SubmissionError: Slurm refused; nothing is left in the queue.
        """
        with uncollected():
            graph, calls = self.check()
            pickled = prepare.pickle_calls(graph, calls, self.max_requeues)
            prepare.refuse_large(pickled.values(), self.max_pickle_gb)
            base = absolute(self.base)
            left_out = [base, base / slug_of(self.plan), *map(absolute, self.not_frozen)]
            project = survey(calls.values(), self.freeze, left_out, Path.cwd())
        base_was_there = base.exists()
        try:
            run, submitted = self._submit(graph, calls, pickled, project)
        except StorageError:
            if not base_was_there:
                with suppress(OSError):
                    base.rmdir()
            raise
        return run, StepJobs(calls, submitted, self.backend)

    def _submit(
        self,
        graph: Graph,
        calls: Mapping[str, Call],
        pickled: Mapping[int, PickledCalls],
        project: Project,
    ) -> tuple[RunDir, Submitted]:
        run = RunDir.create(self.base, self.plan, self.share, self.run.run_id)
        run_bases.remember(run.path.parents[1])
        if self.part is not None and self.part.before:
            run.write_after({done.run for done in self.part.before.values()})
        # The manifest comes last: a folder that has one is whole.
        source = {"git": project.git, **self.source}
        trees = trees_of(self.root, self.resolved, self.slugs, self.part)
        manifest = describe_run(self.plan, trees, source)
        try:
            with told_of(run.path), RunLock(run.path):
                submitted = submit_stages(
                    run,
                    graph,
                    1,
                    self.backend,
                    code=freeze(run, project, self.freeze.limit_mb),
                    slugs=self.slugs,
                    calls=calls,
                    pickled=pickled,
                    progress=self.progress,
                    manifest={"run": run.run_id, **manifest},
                )
        except StorageError:  # nothing of it is in the queue
            run.remove()
            raise
        return run, submitted


def stages_of(root: Node, defaults: Mapping[str, Any], backend: Backend) -> Graph:
    """The stages of a plan as a backend is given them; `defaults` are as in `NewRun`."""
    return lower(
        root,
        resources_of=merged_with(defaults, backend),
        cluster_name=backend.cluster_name,
        max_array_size=backend.max_array_size,
        packs=backend.packs,
    )


def merged_with(
    defaults: Mapping[str, Any], backend: Backend
) -> Callable[[Task | Packed], Resources]:
    """The parameters of a step, or a packed job, on top of `defaults`.

    Equal parameters give the same object.
    """
    cache: dict[str, Resources] = {}

    def merged(task: Task | Packed) -> Resources:
        key = task.resources.key
        if key not in cache:
            options = on_top(defaults, task.resources.options)
            cache[key] = on_default_cluster(Resources(options), backend)
        return cache[key]

    return merged


def on_default_cluster(resources: Resources, backend: Backend) -> Resources:
    """Parameters that name a cluster where a site sets one, so that the record names it too."""
    if resources.cluster is not None or (cluster := backend.default_cluster()) is None:
        return resources
    more = {**resources.options.get("additional_parameters", {}), "clusters": cluster}
    return Resources({**resources.options, "additional_parameters": more})


@dataclass(frozen=True)
class Submitted:
    """The jobs of a submission, by stage number, and its stages."""

    jobs: Mapping[int, JobRef]
    stages: Sequence[StageOnDisk]


def submit_stages(
    run: RunDir,
    graph: Graph,
    number: int,
    backend: Backend,
    *,
    code: CodeUsed,
    slugs: Mapping[str, str],
    calls: Mapping[str, Call],
    pickled: Mapping[int, PickledCalls],
    progress: Progress,
    manifest: Mapping[str, Any] | None = None,
    extra: Mapping[int, Sequence[Dependency]] | None = None,
    also: Mapping[int, Sequence[Needed]] | None = None,
) -> Submitted:
    """Write the scripts of all stages, then submit them, all or nothing.

    `extra` are jobs of earlier submissions that a stage waits for, by its number; `also` says the
    same in steps, for the record.
    """
    settings = {"name": backend.name, **backend.settings()}
    prepare.write_context(run, number, code, settings)
    stages = [
        prepare.write_stage(
            run,
            stage,
            number,
            backend,
            plan=str((manifest or run.manifest)["plan"]),
            slugs=slugs,
            calls=calls,
            pickled=pickled[stage.number],
            also=(also or {}).get(stage.number, ()),
        )
        for stage in graph.stages
    ]
    prepare.write_submission(run, number, stages)
    backend.open_run(run.path)
    if manifest is not None:
        run.write_manifest(dict(manifest))
    submission = Submission(run, number, backend, extra or {})
    submission.submit(graph, {one.stage.number: one.folder.script for one in stages}, progress)
    return Submitted(submission.jobs, stages)


class StepJobs(Sequence[StepJob]):
    """A submitit job for each step, in the order of the plan; made when one is asked for.

    Args:
        names: the steps in order.
        submitted: the stages that they are in.
        backend: who runs them.
    """

    def __init__(self, names: Iterable[str], submitted: Submitted, backend: Backend) -> None:
        self._names = list(names)
        self._submitted = submitted
        self._backend = backend

    @property
    def ids(self) -> list[str]:
        """The ids of the jobs as Slurm lists them: one for an array."""
        return [self._submitted.jobs[one.stage.number].job_id for one in self._submitted.stages]

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: Any) -> Any:
        return self._made[index]

    @cached_property
    def _made(self) -> list[StepJob]:
        jobs: dict[str, StepJob] = {}
        watchers: dict[str | None, ClusterWatcher] = {}
        for written in self._submitted.stages:
            stage, script = written.stage, written.folder.script
            ref = self._submitted.jobs[stage.number]
            watcher = watchers.setdefault(
                ref.cluster, ClusterWatcher(self._backend.client, ref.cluster)
            )
            ranks = self._backend.ranks(stage)
            for index, task in enumerate(stage.tasks):
                at = stage.array_index(index)
                own = ref if at is None else JobRef(ref.cluster, f"{ref.job_id}_{at}")
                files = TaskFiles(written.run.path, written.submission, stage.number, index)
                jobs[task.name] = StepJob(
                    files,
                    own,
                    watcher,
                    name=task.name,
                    script=script,
                    ranks=ranks,
                    packed=bool(stage.packed),
                )
        return [jobs[name] for name in self._names]
