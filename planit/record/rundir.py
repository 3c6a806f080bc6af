"""The run directory: where everything about one submission of a plan is written down.

::

    <base>/<plan>/<run-id>/
        manifest.json            what was asked for: tree, configuration, command line, versions
        journal.jsonl            what was done, in order: intents, job ids, releases, cancellations
        submissions/<n>.json     the stages of the n-th submission (1 is the first, then resumes)
        submissions/<n>.context.json
                                 what its workers need before they load a payload
        code/                    the sources of the project's own modules, as they were
        arrays/<n>.<stage>/      of a job array: script, list of tasks
        steps/<slug>/            of a step: payload, script, log, markers, result

Nothing but the worker ever unpickles anything in it.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.errors import RunError
from planit.record.files import make_dir, read_json, slug_of, write_json
from planit.record.journal import Journal

SCHEMA = 1


def new_run_id() -> str:
    """An id that sorts by time, to the millisecond: ``20261124-135919-412-ac0a``."""
    now = time.time_ns()
    begun = time.strftime("%Y%m%d-%H%M%S", time.localtime(now // 10**9))
    return f"{begun}-{now // 10**6 % 1000:03}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class RunDir:
    """Paths of a run directory, and the files in it that are read as a whole."""

    path: Path

    @classmethod
    def create(cls, base: Path, plan: str) -> RunDir:
        """A new run directory ``<base>/<plan>/<run-id>``; ids sort by time."""
        parent = make_dir(base.expanduser().absolute() / slug_of(plan))
        while True:
            run_id = new_run_id()
            try:
                (parent / run_id).mkdir(0o755)
            except FileExistsError:
                continue
            except OSError as error:
                raise RunError(f"cannot make {parent / run_id}: {error.strerror}") from None
            run = cls(parent / run_id)
            for folder in ("steps", "submissions"):
                make_dir(run.path / folder)
            return run

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.path / "journal.jsonl")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was asked for. Raises RunError if the folder holds no (whole) manifest."""
        manifest = read_json(self.path / "manifest.json")
        if not isinstance(manifest, dict) or "tree" not in manifest:
            raise RunError(f"{self.path} is not a run directory: it has no readable manifest.json")
        return manifest

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_json(self.path / "manifest.json", {"schema": SCHEMA, **manifest})

    def step_dir(self, slug: str) -> Path:
        return self.path / "steps" / slug

    def array_dir(self, submission: int, stage: int) -> Path:
        return self.path / "arrays" / f"{submission}.{stage}"

    def submission_file(self, submission: int) -> Path:
        return self.path / "submissions" / f"{submission}.json"

    def submissions(self) -> list[int]:
        """The numbers of the submissions that left a file, the newest last."""
        files = (self.path / "submissions").glob("*.json")
        return sorted(int(path.stem) for path in files if path.stem.isdigit())

    def context_file(self, submission: int) -> Path:
        return self.path / "submissions" / f"{submission}.context.json"

    def tag(self, submission: int, stage: int) -> str:
        """The text in a job's comment by which it is found again; unique to the run and stage."""
        return f"planit:{self.run_id}:{submission}.{stage}"
