"""Everything that a submission leaves on disk before the first sbatch call."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from planit.backends.base import Backend, StageOnDisk
from planit.errors import PlanError
from planit.graph import EdgeKind, Graph, Stage
from planit.job import payload
from planit.job.call import Call
from planit.nodes.walltime import whole_minutes
from planit.record import context, submissions
from planit.record.call_file import Limits, PickledCalls
from planit.record.context import Context
from planit.record.files import write_new
from planit.record.frozen_code import CodeUsed
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After, Needed
from planit.record.submissions import SubmittedPart, SubmittedStage
from planit.record.umask import current_umask


def pickle_calls(
    graph: Graph, calls: Mapping[str, Call], max_requeues: int
) -> dict[int, PickledCalls]:
    """The calls of each stage, by its number. Raises PlanError naming the step that cannot be."""
    return {
        stage.number: payload.dump(
            {task.name: calls[task.name] for task in stage.tasks}, limits_of(stage, max_requeues)
        )
        for stage in graph.stages
    }


def refuse_large(pickled: Iterable[PickledCalls], limit_gb: float) -> None:
    """Raise PlanError if calls together take more than submitit's limit, in GiB."""
    size = sum(len(part) for one in pickled for part in (*one.calls, *one.shared.values()))
    if size / 1024**3 > limit_gb:
        raise PlanError(
            f"functions and arguments take {size / 1024**3:.2f} GB when pickled, more than the"
            f" executor's max_pickle_size_gb={limit_gb:g}",
            hint="let steps read large data from files, or raise the executor's limit",
        )


def limits_of(stage: Stage, max_requeues: int) -> Limits:
    """What a step of the stage that can save itself may take."""
    each = [part.resources for part in stage.packed] or [stage.resources]
    requeues = min(one.options.get("max_requeues", max_requeues) for one in each)
    return Limits(whole_minutes(min(one.time for one in each)), int(requeues))


def write_context(run: RunDir, submission: int, code: CodeUsed, backend: Mapping[str, Any]) -> None:
    """Write down what the worker needs to import the steps' functions, and the backend."""
    entries = [os.path.abspath(entry or ".") for entry in sys.path]
    context.write(run.path, submission, Context(entries, code, current_umask(), backend))


def write_stage(
    run: RunDir,
    stage: Stage,
    submission: int,
    backend: Backend,
    *,
    plan: str,
    slugs: Mapping[str, str],
    calls: Mapping[str, Call],
    pickled: PickledCalls,
    also: Sequence[Needed] = (),
) -> StageOnDisk:
    """Write the folder of a stage: its script, its tasks, their calls, and what they wait for.

    `also` are steps of earlier submissions that must have succeeded too.
    """
    step_dir = run.step_dir(slugs[stage.tasks[0].name])
    checkpoints = any(payload.can_checkpoint(calls[task.name].function) for task in stage.tasks)
    written = StageOnDisk(run, plan, submission, stage, step_dir, checkpoints)
    written.folder.write(
        [(slugs[task.name], task.name) for task in stage.tasks],
        After(
            [(edge.kind, edge.parent) for edge in stage.edges if edge.kind != EdgeKind.AFTERANY],
            also,
            any(edge.kind == EdgeKind.AFTERANY for edge in stage.edges),
        ),
    )
    pickled.write(written.folder.calls_file)
    write_new(written.folder.script, backend.script(written))
    return written


def write_submission(
    run: RunDir,
    submission: int,
    stages: Iterable[StageOnDisk],
) -> None:
    """Record which step is which job of which stage."""
    content = [
        SubmittedStage(
            number=stage.number,
            name=stage.name,
            cluster=stage.resources.cluster,
            array=stage.is_array,
            tasks=[task.name for task in stage.tasks],
            edges=[(edge.kind.value, edge.parent) for edge in stage.edges],
            options=stage.resources.options,
            max_concurrent=stage.max_concurrent,
            checkpoints=written.checkpoints,
            packed=[
                SubmittedPart(
                    part.job,
                    part.tasks,
                    [(edge.kind.value, edge.parent) for edge in part.edges],
                    part.resources.options,
                    part.max_concurrent,
                )
                for part in stage.packed
            ],
        )
        for written in stages
        for stage in (written.stage,)
    ]
    submissions.write(run.path, submission, content)
