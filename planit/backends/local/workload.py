"""The stages of a submission as the engine needs them, from the run directory."""

from __future__ import annotations

from planit.backends.local.board import LocalStage, LocalTask
from planit.backends.local.machine import Request
from planit.errors import RunError
from planit.nodes.walltime import parse
from planit.record import history as histories
from planit.record import submissions
from planit.record.run_dir import RunDir
from planit.record.submissions import SubmittedStage

DEFAULT_SIGNAL_DELAY_S = 90


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
    stages: dict[int, LocalStage] = {}
    for one in submitted:
        stage = _stage(run, number, one)
        key = f"{number}.{stage.number}"
        stage.tasks = [
            LocalTask(f"{key}_{index}" if stage.is_array else key, name, slugs[name], stage, index)
            for index, name in enumerate(one.tasks)
        ]
        for kind, parent in one.edges:
            stage.edges.append((kind, stages[parent]))
            stages[parent].behind.append((kind, stage))
        stages[stage.number] = stage
    return list(stages.values())


def _stage(run: RunDir, number: int, one: SubmittedStage) -> LocalStage:
    options = one.options
    wall_s = parse(options["time"]).total_seconds()
    warn_s = 0.0
    if one.checkpoints:
        delay = float(options.get("signal_delay_s") or DEFAULT_SIGNAL_DELAY_S)
        warn_s = max(wall_s - delay, wall_s / 2)
    needs_shell = bool(options.get("setup") or options.get("teardown"))
    return LocalStage(
        number=one.number,
        request=Request.of(one.tasks[0], options),
        wall_s=wall_s,
        warn_s=warn_s,
        script=str(run.stage_dir(number, one.number).script) if needs_shell else None,
        most=one.max_concurrent,
        is_array=one.array,
    )
