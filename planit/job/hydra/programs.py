"""Has the configurations of `HydraApp` steps composed: one process per program, for all its steps.

That process imports what the program imports; the one that submits does not.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from planit.errors import PlanError
from planit.job.hydra import composer
from planit.job.hydra.app_run import AppRun
from planit.job.hydra.composer import ComposeAnswer, ComposeRequest
from planit.job.hydra.program import find
from planit.nodes import HydraApp
from planit.nodes.tree import in_step

_TIMEOUT_S = 600  # a program that imports much from a slow file system may take minutes
_MAX_STARTS = 3  # of a program, to tell what is wrong with more than one of its steps
_OMEGACONFS_OWN = ("full_key:", "object_type=", "reference_type=")  # lines of its errors
_ENDED = "did not come to a call of a function that is decorated with @hydra.main"


Refused = Callable[[HydraApp, PlanError], None]
"""Takes what is wrong with a step."""


def runs_of(
    steps: Sequence[HydraApp], refused: Refused | None = None
) -> dict[str, tuple[AppRun, tuple[Any, ...]]]:
    """What the jobs of these steps call, and the arguments, by step.

    Args:
        steps: the steps.
        refused: takes the errors; the steps of a program that has some are left out.

    Raises:
        PlanError: a program cannot be found or started, or Hydra refuses its configuration.
    """

    def first(step: HydraApp, error: PlanError) -> NoReturn:
        raise in_step(step.name, error)

    tell = refused or first
    by_program: dict[AppRun, list[HydraApp]] = defaultdict(list)
    for step in steps:
        try:
            by_program[_run_of(step)].append(step)
        except PlanError as error:
            tell(step, error)
    found: dict[str, tuple[AppRun, tuple[Any, ...]]] = {}
    for run, same in by_program.items():
        for start in range(min(len(same), _MAX_STARTS)):  # a step's own overrides start it
            answer = _composed(run, same[start:], tell)
            if answer is not None:
                found |= answer
                break
    return found


def run_of(app: str | None, script: str | None, directory: Path) -> AppRun:
    """The program of a step, as far as that can be told without starting it. Raises PlanError."""
    name = script if app is None else app
    return AppRun(find(str(name), is_script=app is None, directory=directory))


def _run_of(step: HydraApp) -> AppRun:
    run = run_of(step.app, step.script, Path.cwd())
    return AppRun(run.program, tuple(text for text in step.overrides if text.startswith("-")))


def _composed(
    run: AppRun, steps: Sequence[HydraApp], tell: Refused
) -> Mapping[str, tuple[AppRun, tuple[Any, ...]]] | None:
    """None if the first step's overrides are refused before any other's are looked at."""
    rows = [tuple(text for text in step.overrides if not text.startswith("-")) for step in steps]
    try:
        answer = _answer(ComposeRequest(run.program, run.flags, tuple(rows)))
    except PlanError as error:
        tell(steps[0], error)
        return {}
    for row, words in answer.refusals.items():
        lines = [line.strip() for line in words.splitlines()]
        lines = [line for line in lines if line and not line.startswith(_OMEGACONFS_OWN)]
        hint = answer.hint or "; ".join(lines[1:]) or None
        tell(steps[row or 0], PlanError(lines[0], hint=hint))
    if answer.refusals:
        return {} if answer.looked_at else None
    return {
        step.name: (run, (answer.bases[base], replace(row, num=_number_of(step))))
        for step, (base, row) in zip(steps, answer.steps, strict=True)
    }


def _number_of(step: HydraApp) -> int | None:
    """The number of the sweep's branch that a step is of."""
    return None if step.hydra is None else step.hydra.number


def _answer(request: ComposeRequest) -> ComposeAnswer:
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
                f"{name} {_ENDED} within {_TIMEOUT_S} s",
                hint="planit starts the program to compose its configuration",
            ) from None
        answer = composer.answer_in(Path(folder))
    if answer is None:
        lines = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
        last = f", and ended with code {done.returncode}" if done.returncode else ""
        hint = f"its last line was: {lines[-1].strip()}" if lines else None
        raise PlanError(f"{name} {_ENDED}{last}", hint=hint)
    return answer
