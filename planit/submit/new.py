"""A new run of a plan: checked, written down, submitted, released."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.backends.base import Backend, Dependency, StageOnDisk
from planit.backends.submitit_jobs import StepJob
from planit.backends.watcher import ClusterWatcher
from planit.errors import StorageError
from planit.graph import Graph, lower
from planit.job.call import Call, call_of
from planit.nodes import Node, Resources, Task, check_unique_names, tasks
from planit.record.bulk import uncollected
from planit.record.call_file import PickledCalls
from planit.record.files import is_group, slugs, told_of
from planit.record.jobs import JobRef
from planit.record.lock import RunLock
from planit.record.manifest import describe_run
from planit.record.run_dir import RunDir
from planit.record.stage_dir import Needed
from planit.record.task_files import TaskFiles
from planit.submit import prepare
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
        source: what the caller knows for the manifest: configuration, command line.
        share: "group" lets the group read the run; None, nobody else.
    """

    plan: str
    root: Node
    base: Path
    backend: Backend
    defaults: Mapping[str, Any] = field(default_factory=dict)
    max_requeues: int = 0
    source: Mapping[str, Any] = field(default_factory=dict)
    progress: Progress = no_progress
    share: str | None = None

    def check(self) -> tuple[Graph, dict[str, Call]]:
        """All that can be refused before anything is written or submitted."""
        check_unique_names(self.root)
        is_group(self.share)
        graph = lower(
            self.root,
            resources_of=merged_with(self.defaults, self.backend),
            cluster_name=self.backend.cluster_name,
            max_array_size=self.backend.max_array_size,
        )
        self.backend.check(graph)
        calls = {task.name: call_of(task) for task, _ in tasks(self.root)}
        return graph, calls

    def start(self) -> tuple[RunDir, list[StepJob]]:
        """Submit. Returns the run directory and the steps' jobs in the order of the plan.

        Raises:
            PlanError: something of the plan is wrong; nothing was written.
            RunError: the run cannot be made there, or other users could replace it.
            StorageError: it cannot be written; nothing of it is left.
            SubmissionError: Slurm refused; nothing is left in the queue.
        """
        with uncollected():
            graph, calls = self.check()
            names_to_slugs = slugs(calls)
            pickled = prepare.pickle_calls(graph, calls, self.max_requeues)
        base_was_there = self.base.expanduser().exists()
        try:
            run, submitted = self._submit(graph, calls, names_to_slugs, pickled)
        except StorageError:
            if not base_was_there:
                with suppress(OSError):
                    self.base.expanduser().rmdir()
            raise
        jobs = step_jobs(submitted, self.backend)
        return run, [jobs[name] for name in calls]

    def _submit(
        self,
        graph: Graph,
        calls: Mapping[str, Call],
        slugs: Mapping[str, str],
        pickled: Mapping[int, PickledCalls],
    ) -> tuple[RunDir, Submitted]:
        run = RunDir.create(self.base, self.plan, self.share)
        # The manifest comes last: a folder that has one is whole.
        manifest = describe_run(self.plan, self.root, slugs, self.source)
        try:
            with told_of(run.path), RunLock(run.path):
                submitted = submit_stages(
                    run,
                    graph,
                    1,
                    self.backend,
                    slugs=slugs,
                    calls=calls,
                    pickled=pickled,
                    progress=self.progress,
                    manifest={"run": run.run_id, **manifest},
                )
        except StorageError:  # nothing of it is in the queue
            run.remove()
            raise
        return run, submitted


def merged_with(defaults: Mapping[str, Any], backend: Backend) -> Callable[[Task], Resources]:
    """A step's parameters on top of `defaults`; equal parameters give the same object."""
    cache: dict[str, Resources] = {}

    def merged(task: Task) -> Resources:
        key = task.resources.key
        if key not in cache:
            own = task.resources.options
            options = {**defaults, **own}
            more = "additional_parameters"
            if defaults.get(more) and own.get(more):
                options[more] = {**defaults[more], **own[more]}
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
    prepare.write_context(run, number, calls, settings)
    stages = [
        prepare.write_stage(
            run,
            stage,
            number,
            backend,
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


def step_jobs(submitted: Submitted, backend: Backend) -> dict[str, StepJob]:
    """A submitit job for each step, by name."""
    jobs: dict[str, StepJob] = {}
    watchers: dict[str | None, ClusterWatcher] = {}
    for written in submitted.stages:
        stage = written.stage
        ref = submitted.jobs[stage.number]
        watcher = watchers.setdefault(ref.cluster, ClusterWatcher(backend.client, ref.cluster))
        for index, task in enumerate(stage.tasks):
            own = JobRef(ref.cluster, f"{ref.job_id}_{index}") if stage.is_array else ref
            jobs[task.name] = StepJob(
                TaskFiles(written.run.path, written.submission, stage.number, index),
                own,
                watcher,
                name=task.name,
                script=written.folder.script,
                ranks=backend.ranks(stage),
            )
    return jobs
