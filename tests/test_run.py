"""A run that is opened again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planit import Run
from planit.backends.base import Backend
from planit.backends.local.backend import LocalBackend
from planit.backends.slurm.backend import SlurmBackend
from planit.record import context, submissions
from planit.record.context import Context
from planit.record.run_dir import RunDir


@pytest.mark.parametrize(
    "backend",
    [
        SlurmBackend(kill_on_invalid_dep=False, python="apptainer exec x.sif python3"),
        LocalBackend(cpus=3, isolation="spawn", python="/opt/python"),
    ],
    ids=["slurm", "local"],
)
def test_what_submitted_a_run_resumes_it(tmp_path: Path, backend: Backend) -> None:
    run = RunDir.create(tmp_path, "p")
    settings: dict[str, Any] = {"name": backend.name, **backend.settings()}
    submissions.write(run.path, 1, [])
    context.write(run.path, 1, Context(backend=settings))
    again = Run(run.path).backend
    assert type(again) is type(backend)
    assert again.settings() == backend.settings()
    assert again.python == backend.python
