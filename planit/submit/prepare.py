"""Everything that a submission leaves on disk before the first sbatch call."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planit.backends.slurm.script import ScriptSpec, script_text
from planit.errors import PlanError
from planit.graph import EdgeKind, Graph, Stage
from planit.job import payload
from planit.job.call import Call
from planit.job.code import take_snapshot
from planit.nodes.functions import dotted_path
from planit.nodes.walltime import whole_minutes
from planit.record import context, submissions
from planit.record.context import Context
from planit.record.files import write_new
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After, Needed
from planit.record.submissions import SubmittedStage
from planit.record.trust import accepts_group
from planit.record.umask import current_umask


def pickle_calls(graph: Graph, calls: Mapping[str, Call], max_requeues: int) -> dict[str, bytes]:
    """Each step's call, pickled. Raises PlanError naming the step that cannot be."""
    pickled = {}
    for stage in graph.stages:
        minutes = whole_minutes(stage.resources.time)
        requeues = int(stage.resources.options.get("max_requeues", max_requeues))
        for task in stage.tasks:
            call = calls[task.name]
            try:
                pickled[task.name] = payload.dump(
                    call.in_job,
                    call.args,
                    call.kwargs,
                    time_minutes=minutes,
                    max_requeues=requeues,
                )
            except Exception as error:
                raise PlanError(
                    f"step {task.name!r}: its function or arguments cannot be pickled: {error}",
                    hint="pass plain values or paths, and open files inside the step",
                ) from error
    return pickled


def write_context(
    run: RunDir, submission: int, calls: Mapping[str, Call], backend: Mapping[str, Any]
) -> None:
    """Freeze the code of the functions, what the worker needs to import it, and the backend."""
    paths = [dotted_path(call.function) for call in calls.values()]
    modules = {
        call.function.__module__ for call in calls.values() if hasattr(call.function, "__module__")
    }
    modules |= {path.partition(".")[0] for path in paths if path}
    sources = take_snapshot(run.code, {str(module) for module in modules if module})
    entries = [os.path.abspath(entry or ".") for entry in sys.path]
    context.write(run.path, submission, Context(entries, sources, current_umask(), backend))


@dataclass(frozen=True)
class StageFiles:
    """The script of a stage, the folders of its steps, and whether one of them can save itself."""

    script: Path
    step_dirs: tuple[Path, ...]
    checkpoints: bool = False


def write_stage(
    run: RunDir,
    stage: Stage,
    submission: int,
    *,
    slugs: Mapping[str, str],
    calls: Mapping[str, Call],
    python: str,
    also: Sequence[Needed] = (),
    here: bool = False,
    cancels: bool = False,
) -> StageFiles:
    """Write the folder of a stage: its script, its tasks, and what they wait for.

    `also` are steps of earlier submissions that must have succeeded too; `here` says whether
    planit's local engine runs the stage, and `cancels` whether a step that fails cancels what
    waits for it.
    """
    step_dirs = tuple(run.step_dir(slugs[task.name]) for task in stage.tasks)
    checkpoints = any(payload.can_checkpoint(calls[task.name].function) for task in stage.tasks)
    folder = run.stage_dir(submission, stage.number)
    folder.write(
        [(slugs[task.name], task.name) for task in stage.tasks],
        After(
            [(edge.kind, edge.parent) for edge in stage.edges if edge.kind != EdgeKind.AFTERANY],
            also,
            any(edge.kind == EdgeKind.AFTERANY for edge in stage.edges),
        ),
    )
    spec = ScriptSpec(
        name=stage.name,
        options=stage.resources.options,
        run_dir=run.path,
        tag=run.tag(submission, stage.number),
        python=python,
        attempt=submission,
        stage=stage.number,
        checkpoints=checkpoints,
        launches=stage.tasks[0].launches,
        here=here,
        cancels=cancels,
        trust_group=accepts_group(),
    )
    if stage.is_array:
        spec = spec.for_array(folder.tasks_file, len(stage.tasks), stage.max_concurrent)
    else:
        spec = spec.for_step(stage.tasks[0].name, step_dirs[0])
    write_new(folder.script, script_text(spec))
    return StageFiles(folder.script, step_dirs, checkpoints)


def write_submission(
    run: RunDir,
    graph: Graph,
    submission: int,
    files: Mapping[int, StageFiles],
) -> None:
    """Record which step is which job of which stage."""
    stages = [
        SubmittedStage(
            number=stage.number,
            name=stage.name,
            cluster=stage.resources.cluster,
            array=stage.is_array,
            tasks=[task.name for task in stage.tasks],
            edges=[(edge.kind.value, edge.parent) for edge in stage.edges],
            options=stage.resources.options,
            max_concurrent=stage.max_concurrent,
            checkpoints=files[stage.number].checkpoints,
        )
        for stage in graph.stages
    ]
    submissions.write(run.path, submission, stages)
