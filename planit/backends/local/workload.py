"""The stages of a submission as the engine needs them, from the run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from planit.backends.local.board import LocalStage, LocalTask
from planit.backends.local.machine import Request
from planit.errors import RunError
from planit.nodes.walltime import parse
from planit.record import history as histories
from planit.record.files import read_json
from planit.record.run_dir import RunDir

DEFAULT_SIGNAL_DELAY_S = 90


def read_stages(run: RunDir, number: int) -> list[LocalStage]:
    """The stages of a submission.

    Raises:
        RunError: the submission cannot be read.
        PlanError: a step asks for what one machine cannot give.
    """
    content = read_json(run.submission_file(number))
    if not isinstance(content, dict):
        raise RunError(f"submission {number} of run {run.run_id} cannot be read")
    slugs = {leaf.name: leaf.slug for leaf in histories.leaves(run.manifest["tree"])}
    stages: dict[int, LocalStage] = {}
    for one in content["stages"]:
        stage = _stage(run, one)
        key = f"{number}.{stage.number}"
        stage.tasks = [
            LocalTask(f"{key}_{index}" if stage.is_array else key, name, slugs[name], stage, index)
            for index, name in enumerate(one["tasks"])
        ]
        for kind, parent in one["edges"]:
            stage.edges.append((kind, stages[parent]))
            stages[parent].behind.append((kind, stage))
        stages[stage.number] = stage
    return list(stages.values())


def _stage(run: RunDir, one: dict[str, Any]) -> LocalStage:
    options = one["options"]
    wall_s = parse(options["time"]).total_seconds()
    warn_s = 0.0
    if one.get("checkpoints"):
        delay = float(options.get("signal_delay_s") or DEFAULT_SIGNAL_DELAY_S)
        warn_s = max(wall_s - delay, wall_s / 2)
    needs_shell = bool(options.get("setup") or options.get("teardown"))
    script = one.get("script")
    return LocalStage(
        number=one["number"],
        request=Request.of(one["tasks"][0], options),
        wall_s=wall_s,
        warn_s=warn_s,
        script=str(Path(run.path) / script) if needs_shell and script else None,
        most=one.get("max_concurrent"),
        is_array=one["array"],
    )
