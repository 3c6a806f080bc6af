"""Has the configurations of `HydraApp` steps composed: one process per program, for all its steps.

That process imports what the program imports; the one that submits does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from planit.errors import PlanError
from planit.job.hydra import composer
from planit.job.hydra.app_run import AppRun
from planit.job.hydra.composer import ComposeAnswer, ComposeRequest
from planit.job.hydra.program import find
from planit.nodes import HydraApp
from planit.nodes.tree import in_step

_TIMEOUT_S = 600  # a program that imports much from a slow file system may take minutes
_OMEGACONFS_OWN = ("full_key:", "object_type=", "reference_type=")  # lines of its errors
_ENDED = "did not come to a call of a function that is decorated with @hydra.main"


def runs_of(steps: Sequence[HydraApp]) -> dict[str, tuple[AppRun, tuple[Any, ...]]]:
    """What the jobs of these steps call, and the arguments, by step.

    Raises:
        PlanError: a program cannot be found or started, or Hydra refuses its configuration.
    """
    by_program: dict[AppRun, list[HydraApp]] = defaultdict(list)
    for step in steps:
        by_program[_run_of(step)].append(step)
    found: dict[str, tuple[AppRun, tuple[Any, ...]]] = {}
    for run, same in by_program.items():
        found |= _composed(run, same)
    return found


def run_of(app: str | None, script: str | None, directory: Path) -> AppRun:
    """The program of a step, as far as that can be told without starting it. Raises PlanError."""
    name = script if app is None else app
    return AppRun(find(str(name), is_script=app is None, directory=directory))


def _run_of(step: HydraApp) -> AppRun:
    try:
        run = run_of(step.app, step.script, Path.cwd())
    except PlanError as error:
        raise in_step(step.name, error) from None
    return AppRun(run.program, tuple(text for text in step.overrides if text.startswith("-")))


def _composed(
    run: AppRun, steps: Sequence[HydraApp]
) -> Mapping[str, tuple[AppRun, tuple[Any, ...]]]:
    rows = [tuple(text for text in step.overrides if not text.startswith("-")) for step in steps]
    answer = _answer(ComposeRequest(run.program, run.flags, tuple(rows)), steps[0].name)
    if answer.refused is not None:
        lines = [line.strip() for line in answer.refused.splitlines()]
        lines = [line for line in lines if line and not line.startswith(_OMEGACONFS_OWN)]
        error = PlanError(lines[0], hint=answer.hint or "; ".join(lines[1:]) or None)
        raise in_step(steps[answer.row or 0].name, error)
    return {
        step.name: (run, (answer.bases[base], replace(row, num=_number_of(step))))
        for step, (base, row) in zip(steps, answer.steps, strict=True)
    }


def _number_of(step: HydraApp) -> int | None:
    """The number of the sweep's branch that a step is of."""
    return None if step.hydra is None else step.hydra.number


def _answer(request: ComposeRequest, step: str) -> ComposeAnswer:
    """Start the program in a process of its own. What that prints is shown only if it fails."""
    name = request.program.name
    with TemporaryDirectory(prefix="planit-") as folder:
        composer.ask(Path(folder), request)
        code = f"import sys; sys.path[:] = {sys.path!r}\n"
        code += f"from {composer.__name__} import main; main()"
        environment = {**os.environ, composer.REQUEST: folder, "HYDRA_FULL_ERROR": "1"}
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", code],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PlanError(
                f"step {step!r}: {name} {_ENDED} within {_TIMEOUT_S} s",
                hint="planit starts the program to compose its configuration",
            ) from None
        answer = composer.answer_in(Path(folder))
    if answer is None:
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        last = f", and ended with code {done.returncode}" if done.returncode else ""
        hint = f"its last line was: {lines[-1].strip()}" if lines else None
        raise PlanError(f"step {step!r}: {name} {_ENDED}{last}", hint=hint)
    return answer
