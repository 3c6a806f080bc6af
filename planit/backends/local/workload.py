"""The stages of a submission as the engine needs them, from the run directory."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from planit.backends.shell import script_around
from planit.backends.step_request import Request
from planit.errors import RunError
from planit.graph import Edge, EdgeKind
from planit.nodes.step_environment import needs_shell
from planit.nodes.walltime import parse
from planit.record import history as histories
from planit.record import submissions
from planit.record.run_dir import RunDir
from planit.record.submissions import SubmittedStage

DEFAULT_SIGNAL_DELAY_S = 90
# What submitit's JobEnvironment reads in a step, which is one process on one node.
ONE_PROCESS = {
    "SUBMITIT_EXECUTOR": "local",
    "SUBMITIT_LOCAL_NTASKS": "1",
    "SUBMITIT_LOCAL_JOB_NUM_NODES": "1",
    "SUBMITIT_LOCAL_NODEID": "0",
    "SUBMITIT_LOCAL_GLOBALID": "0",
    "SUBMITIT_LOCAL_LOCALID": "0",
}


@dataclass(eq=False, slots=True)
class LocalTask:
    """One step.

    Attributes:
        key: its job id, ``1.3`` or ``1.3_7``; in a packed job that of the job.
        index: its place in the stage of the record.
        restarts: how often it was requeued.
        raised: what it needs of the machine since a retry, unless that is what the stage does.
        longer_s: its time limit since a retry, likewise.
        not_before: when it may start, by the monotonic clock.
    """

    key: str
    name: str
    slug: str
    stage: LocalStage
    index: int = 0
    restarts: int = 0
    raised: Request | None = None
    longer_s: float | None = None
    not_before: float = 0.0

    @property
    def request(self) -> Request:
        """What it needs of the machine."""
        return self.raised or self.stage.request

    @property
    def wall_s(self) -> float:
        """Its time limit."""
        return self.longer_s or self.stage.wall_s


@dataclass(eq=False)
class LocalStage:
    """Steps with the same parameters and edges.

    Attributes:
        number: of the stage in the submission.
        request: what each step needs of the machine.
        wall_s: the time limit of each step.
        warn_s: when a step is warned before its limit, or 0 for never.
        command: what runs a step with lines of its own around it, or None.
        max_concurrent: how many steps may run at once, or None.
        retry: the policy of its steps, if they have one.
        remaining_s: wall time of the longest way from its start to the end of the plan.
    """

    number: int
    edges: tuple[Edge, ...]
    request: Request
    wall_s: float
    warn_s: float
    command: list[str] | None
    max_concurrent: int | None
    is_array: bool
    retry: Mapping[str, Any] = field(default_factory=dict)
    tasks: list[LocalTask] = field(default_factory=list)
    remaining_s: float = 0.0


def read_stages(run: RunDir, number: int) -> list[LocalStage]:
    """The stages of a submission.

    Raises:
        RunError: the submission cannot be read.
        PlanError: a step asks for what one machine cannot give.
    """
    submitted = submissions.read(run.path, number)
    if submitted is None:
        raise RunError(f"submission {number} of run {run.run_id} cannot be read")
    slugs = {leaf.name: leaf.slug for leaf in histories.leaves(run.manifest["tree"])}
    stages = []
    for one in submitted:
        stage = _stage(run, number, one)
        key = f"{number}.{stage.number}"
        stage.tasks = [
            LocalTask(f"{key}_{index}" if stage.is_array else key, name, slugs[name], stage, index)
            for index, name in enumerate(one.tasks)
        ]
        stages.append(stage)
    return _with_remaining(stages)


def packed_stages(
    one: SubmittedStage,
    job: int,
    key: str,
    tasks: Sequence[tuple[str, str]],
    python: str,
    commands: Collection[str],
) -> list[LocalStage]:
    """What a packed job runs.

    Args:
        one: the packed stage.
        job: which task of its array this is.
        key: the job's id.
        tasks: slug and name of each step of the stage.
        python: shell words that start Python, for steps with lines of their own.
        commands: the names of the steps that are commands.

    Raises:
        PlanError: a step asks for what one machine cannot give.
    """
    first = next(place for place, part in enumerate(one.packed) if part.job == job)
    stages = []
    for part in one.packed:
        if part.job != job:
            continue
        name = tasks[part.tasks[0]][1]
        script = script_around(part.options, python, launches=name not in commands)
        stage = _made(
            one,
            name,
            part.options,
            edges=[(kind, parent - first) for kind, parent in part.edges],
            command=["/bin/bash", "-c", script, os.devnull],
            max_concurrent=part.max_concurrent,
        )
        stage.tasks = [LocalTask(key, tasks[i][1], tasks[i][0], stage, i) for i in part.tasks]
        stages.append(stage)
    return _with_remaining(stages)


def _with_remaining(stages: list[LocalStage]) -> list[LocalStage]:
    for stage in reversed(stages):  # what waits for it has added its own way to the end
        stage.remaining_s += stage.wall_s
        for edge in stage.edges:
            parent = stages[edge.parent]
            parent.remaining_s = max(parent.remaining_s, stage.remaining_s)
    return stages


def _stage(run: RunDir, number: int, one: SubmittedStage) -> LocalStage:
    return _made(
        one,
        one.tasks[0],
        one.options,
        edges=one.edges,
        command=["/bin/bash", str(run.stage_dir(number, one.number).script)],
        max_concurrent=one.max_concurrent,
    )


def _made(
    one: SubmittedStage,
    name: str,
    options: Mapping[str, Any],
    *,
    edges: Sequence[tuple[str, int]],
    command: list[str],
    max_concurrent: int | None,
) -> LocalStage:
    wall_s = parse(options["time"]).total_seconds()
    warn_s = 0.0
    if one.checkpoints:
        delay = float(options.get("signal_delay_s") or DEFAULT_SIGNAL_DELAY_S)
        warn_s = max(wall_s - delay, wall_s / 2)
    return LocalStage(
        number=one.number,
        edges=tuple(Edge(parent, EdgeKind(kind)) for kind, parent in edges),
        request=Request.of(name, options),
        wall_s=wall_s,
        warn_s=warn_s,
        command=command if needs_shell(options) else None,
        max_concurrent=max_concurrent,
        is_array=one.array,
        retry=options.get("retry") or {},
    )
