"""Slurm as a backend: turns a stage into a script and an sbatch call."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from planit.backends.base import Dependency, Preview, StageOnDisk, Tagged, TaggedJob
from planit.backends.broken_lines import refuse_broken_lines
from planit.backends.configurable import Configurable
from planit.backends.slurm.client import SlurmClient, UnclearSubmissionError
from planit.backends.slurm.environment import default_cluster
from planit.backends.slurm.preview import preview
from planit.backends.slurm.script import ScriptSpec, needs_srun, script_text
from planit.backends.step_request import refuse_larger_steps
from planit.errors import (
    ConfigError,
    PlanError,
    SchedulerError,
    SubmissionError,
    UnknownClusterError,
    suggest,
)
from planit.graph import Graph, Stage
from planit.graph.lowering import DEFAULT_MAX_ARRAY_SIZE
from planit.nodes.flags import flags_of, task_count
from planit.nodes.tree import in_step
from planit.record.jobs import JobRef
from planit.record.trust import accepts_group

_PASSING = ("unable to contact", "timed out", "no answer", "temporarily", "too many", "try again")
_TRIES = 3
# sbatch manual, "--dependency": all of several (,) or one of them (?).
_DEPENDENCY = re.compile(
    r"(singleton|after\w*(:\d+(_\d+|_\*)?(\+\d+)?)+)([,?](singleton|after\w*(:\d+(_\d+|_\*)?(\+\d+)?)+))*"
)


@dataclass
class SlurmBackend(Configurable):
    """Submits, releases, cancels and finds jobs.

    Attributes:
        client: the command line tools.
        kill_on_invalid_dep: whether Slurm is told to cancel what can never run. Some sites had
            trouble with it; without it such jobs stay pending until `planit cancel` clears them.
        python: shell words that start the Python in the jobs.
        dependency: what the first steps of a plan wait for, as sbatch's ``--dependency`` takes it.
        retry_wait_s: pause before an sbatch call is repeated after a passing failure.

    Raises:
        ConfigError: a setting that is not of its kind.
    """

    client: SlurmClient = field(default_factory=SlurmClient)
    kill_on_invalid_dep: bool = True
    python: str = field(default_factory=lambda: shlex.quote(sys.executable))
    dependency: str | None = None
    retry_wait_s: float = 1.0

    name: ClassVar[str] = "slurm"
    packs: ClassVar[bool] = True
    SETTINGS: ClassVar[tuple[str, ...]] = ("kill_on_invalid_dep", "python", "dependency")
    poll_interval_s: ClassVar[float] = 10.0

    def __post_init__(self) -> None:
        if not isinstance(self.kill_on_invalid_dep, bool):
            value = self.kill_on_invalid_dep
            raise ConfigError(f"backend.kill_on_invalid_dep must be true or false, not {value!r}")
        if self.dependency is not None and not _DEPENDENCY.fullmatch(str(self.dependency)):
            raise ConfigError(
                f"dependency {self.dependency!r} is not one of sbatch's",
                hint="for instance afterok:JOBID or afterany:JOBID:JOBID",
            )

    def attached(self) -> Self:
        """The same: jobs never end with this process."""
        return self

    def attached_run(self) -> None:
        """Jobs go on by themselves."""

    def check(self, graph: Graph, run_path: Path | None = None) -> None:
        """Every cluster that a step names must answer before the first job is submitted.

        Raises:
            PlanError: Slurm has no such cluster, a step may get any number of tasks, or its setup
                lines are not bash.
            SchedulerError: a cluster does not answer.
        """
        for stage in graph.stages:
            self._check_request(stage)
            if (cluster := stage.resources.cluster) is not None:
                try:
                    self.client.config(cluster)
                except UnknownClusterError:
                    names = self.client.clusters()
                    raise PlanError(
                        f"step {stage.tasks[0].name!r}: Slurm has no cluster {cluster!r}",
                        hint=suggest(cluster, names) if names else "sacctmgr show clusters",
                    ) from None

    def preview(self, stages: Iterable[Stage]) -> Preview:
        """What Slurm says of stages that are not submitted."""
        listed = list(stages)
        found = preview(self.client, listed, self.python)
        for stage in listed:
            try:
                self._check_request(stage)
            except PlanError as error:
                found.add([stage], None, error)
        return found

    def _check_request(self, stage: Stage) -> None:
        """What can be told without Slurm. Raises PlanError."""
        refuse_broken_lines(stage.tasks[0].name, stage.resources.options)
        for part in stage.packed:
            own = part.resources.options
            refuse_broken_lines(stage.tasks[part.tasks[0]].name, own)
        try:
            if self.ranks(stage) > 1 and not stage.tasks[0].launches:
                raise PlanError(
                    "srun would run this command once for each task",
                    hint="leave out srun_args and use_srun: a Command starts its own srun",
                )
        except PlanError as error:
            raise in_step(stage.tasks[0].name, error) from None
        if stage.packed:
            refuse_larger_steps(stage)

    def open_run(self, run_path: Path) -> None:
        """Jobs are found by their tags, whatever the run."""

    def default_cluster(self) -> str | None:
        """The one that a site sets by SLURM_CLUSTERS or SBATCH_CLUSTERS.

        Raises:
            ConfigError: they name several.
        """
        return default_cluster()

    def max_array_size(self, cluster: str | None) -> int:
        try:
            return int(self.client.setting("MaxArraySize", cluster))
        except UnknownClusterError:
            return DEFAULT_MAX_ARRAY_SIZE  # `check` knows the step, and refuses it

    def cluster_name(self, cluster: str | None) -> str | None:
        """The name of a cluster; that of the default one is asked for."""
        return self.client.setting("ClusterName", cluster) if cluster is None else cluster

    def ranks(self, stage: Stage) -> int:
        """Slurm tasks of a step, if srun starts it once for each."""
        options = stage.resources.options
        launches = stage.tasks[0].launches
        one_each = needs_srun(options, checkpoints=False, launches=launches)
        return task_count(flags_of(options)) if one_each else 1

    def script(self, stage: StageOnDisk) -> str:
        """What sbatch takes. Raises PlanError for a path with control characters."""
        one, folder = stage.stage, stage.folder
        spec = ScriptSpec(
            plan=stage.plan,
            name=one.name,
            options=one.resources.options,
            run_dir=stage.run.path,
            tag=stage.run.tag(stage.submission, one.number),
            python=self.python,
            attempt=stage.submission,
            stage=one.number,
            checkpoints=stage.checkpoints,
            launches=one.tasks[0].launches,
            cancels=self.kill_on_invalid_dep,
            dependency=self.dependency if one.is_root else None,
            trust_group=accepts_group(),
        )
        if one.packed:
            return script_text(spec.for_packed(one.jobs, one.max_concurrent))
        if one.is_array:
            count = len(one.tasks)
            return script_text(spec.for_array(folder.tasks_file, count, one.max_concurrent))
        return script_text(spec.for_step(one.tasks[0].name, stage.step_dir))

    def submit(
        self,
        script: Path,
        *,
        tag: str,
        cluster: str | None,
        after: Sequence[Dependency],
    ) -> JobRef:
        """Submit a script, held; never twice, even if sbatch fails after Slurm accepted the job.

        Raises:
            SubmissionError: in Slurm's own words.
        """
        options = ["--hold"]
        if after:
            options.append("--dependency=" + dependency_text(after))
            if self.kill_on_invalid_dep and not any(one.kind == "aftercorr" for one in after):
                options.append("--kill-on-invalid-dep=yes")
        for attempt in range(1, _TRIES + 1):
            try:
                return self.client.submit(str(script), options, cluster)
            except SubmissionError as error:
                if found := self._accepted_after_all(tag, cluster, error):
                    return found
                if attempt == _TRIES or not _may_repeat(error):
                    raise
        raise AssertionError("unreachable")

    def _accepted_after_all(
        self, tag: str, cluster: str | None, error: SubmissionError
    ) -> JobRef | None:
        """The job that an sbatch call left in the queue, or None if Slurm says that it left none.

        A call is only repeated if Slurm answers that there is no such job.
        """
        accepted = isinstance(error, UnclearSubmissionError)
        no_answer = ""
        for attempt in range(1, _TRIES + 1):
            if _may_repeat(error) or (accepted and attempt > 1):
                time.sleep(self.retry_wait_s * attempt)
            found = self.tagged(tag, [cluster])
            same = sorted((job for job in found.jobs if job.tag == tag), key=lambda job: -job.live)
            if same:
                return same[0].ref
            no_answer = found.no_answer.get(cluster, "")
            if not accepted and not (no_answer and _may_repeat(error)):
                return None
        more = no_answer or "and the queue does not have it"
        raise SubmissionError(f"{error.message}; and then {more}") from error

    def confirm(self, prefix: str, jobs: Mapping[str, JobRef]) -> None:
        """See that each job is in the queue under its tag, and cancel any second job of a tag.

        Raises:
            SubmissionError: a job is not there: sbatch printed another id, or somebody cancelled
                it; or a second one cannot be cancelled.
            SchedulerError: Slurm does not answer.
        """
        found = self.tagged(prefix, dict.fromkeys(job.cluster for job in jobs.values()))
        for cluster, why in found.no_answer.items():
            raise SchedulerError(f"cluster {cluster}: {why}" if cluster else why)
        there = {(job.tag, job.ref) for job in found.jobs if job.live}
        for tag, job in jobs.items():
            if (tag, job) not in there:
                others = [str(ref) for other, ref in there if other == tag]
                instead = f"; the queue has {', '.join(others)} instead" if others else ""
                raise SubmissionError(f"job {job}, as sbatch printed it, is not there{instead}")
        second = [j.ref for j in found.jobs if j.live and j.tag in jobs and j.ref != jobs[j.tag]]
        for job, why in self.cancel(second).items():
            raise SubmissionError(f"job {job} is a second one, and cannot be cancelled: {why}")

    def tagged(self, prefix: str, clusters: Iterable[str | None]) -> Tagged:
        """The user's jobs whose comment's last word begins with `prefix`."""
        live: dict[tuple[JobRef, str], bool] = {}
        no_answer: dict[str | None, str] = {}
        for cluster in dict.fromkeys(clusters):
            try:
                queue = self.client.queue(cluster)
            except UnknownClusterError:
                continue  # no job can be there
            except SchedulerError as error:
                no_answer[cluster] = error.message
                continue
            for view in queue.values():
                tag = (view.comment or "").rpartition(" ")[2]
                if tag.startswith(prefix):
                    key = JobRef(cluster, view.key.partition("_")[0]), tag
                    live[key] = view.is_live or live.get(key, False)
        jobs = tuple(TaggedJob(ref, tag, is_live) for (ref, tag), is_live in live.items())
        return Tagged(jobs, no_answer)

    def release(self, jobs: Iterable[JobRef]) -> None:
        self.client.release(jobs)

    def cancel(self, jobs: Iterable[JobRef]) -> dict[JobRef, str]:
        return self.client.cancel(jobs)


def dependency_text(after: Sequence[Dependency]) -> str:
    """Sbatch's ``--dependency``, for instance ``afterok:1:2,aftercorr:3``."""
    kinds = dict.fromkeys(dependency.kind for dependency in after)
    return ",".join(
        ":".join([kind, *dict.fromkeys(d.job.job_id for d in after if d.kind == kind)])
        for kind in kinds
    )


def _may_repeat(error: SubmissionError) -> bool:
    """Whether the failure may pass; what Slurm has accepted is never submitted again."""
    text = error.message.lower()
    return not isinstance(error, UnclearSubmissionError) and any(word in text for word in _PASSING)
