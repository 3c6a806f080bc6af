"""The run directory: where everything about one submission of a plan is written down.

::

    <base>/<plan>/<run-id>/
        manifest.json            what was asked for: tree, configuration, command line, versions
        journal.jsonl            what was done, in order: intents, job ids, releases, cancellations
        after.json               the earlier runs in which the rest of the plan was done, if any
        submissions/<n>.json     the stages of the n-th submission (1 is the first, then resumes)
        submissions/<n>.context.json
                                 what its workers need before they load a payload
        code/                    the project's files as they were (see `planit.record.frozen_code`)
        submissions/<n>.jobs.json
                                 the jobs that may run (see `planit.record.tickets`)
        stages/<n>.<stage>/      of an sbatch call: script, tasks, calls; of each task record and
                                 log (see `planit.record.stage_dir`, `planit.record.task_files`)
        steps/<slug>/            what a step keeps; only while it runs, if it keeps nothing
        local/                   of the engine on this machine (see `planit.record.local_files`)
        lock, states.json        who works on it (see `planit.record.lock`); a cache of states

Only the worker, and `StepJob` and Hydra's sweepers for results, unpickle anything in it, through
`planit.record.trust`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.errors import RunError, StorageError
from planit.record import fields, submissions, trust
from planit.record.files import (
    dir_mode,
    is_group,
    make_dir,
    read_json,
    set_mode,
    slug_of,
    told_of,
    write_json,
)
from planit.record.journal import Journal
from planit.record.manifest_check import damage_of
from planit.record.run_paths import MANIFEST
from planit.record.stage_dir import StageDir

FORMAT = 2  # of the run directory; 1 was that of planit 0.1
STATES = "states.json"
DEBUG = "debug"  # what stands for a run directory where none is kept
CHECKPOINT = "checkpoint.pkl"  # in a step's folder: the call as it saved itself, to go on from
JOB_RETURN = "job_return.pkl"  # in a step's folder: Hydra's, for the sweeper that waits for it
RESULT = ".planit_result.json"  # in a step's folder: what a command writes; gone when it has ended
PARENTS = ".planit_parents.json"  # in a step's folder while its command runs: for PLANIT_PARENTS
STANDING = ".planit_step.json"  # likewise where no record is kept: what else it knows of itself
_JOURNAL, _STEPS = "journal.jsonl", "steps"
_AFTER = "after.json"


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
    def create(
        cls, base: Path, plan: str, share: str | None = None, run_id: str | None = None
    ) -> RunDir:
        """A new run directory ``<base>/<plan>/<run-id>``; ids sort by time.

        Args:
            base: folder of the runs.
            plan: name of the plan.
            share: "group" lets the group read what is in it; None, nobody else.
            run_id: its id, where that is known before; by default a new one.

        Raises:
            RunError: it cannot be made, or other users could replace it.
        """
        shared = is_group(share)
        parent = place_of(base, plan)
        trust.refuse_place(parent)
        try:
            make_dir(parent, group_enters=shared)
            if shared:
                _refuse_closed((parent.parent, parent))
            return cls._create(parent, run_id, shared=shared)
        except StorageError:
            with suppress(OSError):
                parent.rmdir()
            raise

    @classmethod
    def _create(cls, parent: Path, wanted: str | None, *, shared: bool) -> RunDir:
        while True:
            run_id = wanted or new_run_id()
            try:
                with told_of(parent / run_id):
                    (parent / run_id).mkdir(0o700)
            except FileExistsError:
                if wanted is not None:
                    message = f"{parent / run_id} exists already"
                    raise RunError(message, hint="submit once more") from None
                continue
            except OSError as error:
                raise RunError(f"cannot make {parent / run_id}: {error.strerror}") from None
            run = cls(parent / run_id)
            try:
                run._make(shared=shared)
            except BaseException:
                run.remove()
                raise
            return run

    def _make(self, *, shared: bool) -> None:
        with trust.opened(self.path) as made:
            _drop_default_acl(made.fd)
            set_mode(made.fd, dir_mode(shared=shared))
        for folder in (_STEPS, submissions.FOLDER):
            make_dir(self.path / folder)

    @property
    def run_id(self) -> str:
        return self.path.name

    @cached_property
    def journal(self) -> Journal:
        return Journal(self.path / _JOURNAL)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """What was asked for.

        Raises:
            RunError: the folder holds no (whole) manifest, or that of another format.
        """
        manifest = read_json(self.path / MANIFEST)
        if not isinstance(manifest, dict) or "tree" not in manifest:
            raise RunError(f"{self.path} is not a run directory: it has no readable {MANIFEST}")
        if manifest.get("format") != FORMAT:
            versions = fields.mapping(manifest, "versions")
            written = fields.text(versions, "planit-slurm") or "another version"
            raise RunError(
                f"{self.path} is in the format of planit {written}, which this planit cannot read",
                hint="use that version for it",
            )
        if (damage := damage_of(manifest)) is not None:
            raise RunError(f"{self.path / MANIFEST} is damaged: {damage}")
        return manifest

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        write_json(self.path / MANIFEST, {"format": FORMAT, **manifest})

    @property
    def after(self) -> list[Path]:
        """The earlier runs that have what stands before this run's steps."""
        listed = read_json(self.path / _AFTER)
        return [Path(path) for path in listed] if isinstance(listed, list) else []

    def write_after(self, runs: Iterable[Path]) -> None:
        write_json(self.path / _AFTER, sorted(map(str, runs)))

    def stamp(self) -> list[int] | None:
        """What changes with whatever planit does to the run; None without manifest or journal.

        Each submission, resume and cancellation makes the journal longer. It is opened, for by that
        a network file system asks the server what is there.
        """
        try:
            manifest = (self.path / MANIFEST).stat()
            with (self.path / _JOURNAL).open("rb") as journal:
                length = journal.seek(0, os.SEEK_END)
        except OSError:
            return None
        return [manifest.st_mtime_ns, manifest.st_size, length]

    def remove(self) -> None:
        """Remove it, of which nothing is in a queue, and the plan's folder if that is empty."""
        shutil.rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            self.path.parent.rmdir()

    def step_dir(self, slug: str) -> Path:
        return self.path / _STEPS / slug

    def stage_dir(self, submission: int, stage: int) -> StageDir:
        return StageDir(self.path, submission, stage)

    def tag(self, submission: int, stage: int) -> str:
        """The text in a job's comment by which it is found again; unique to the run and stage."""
        return f"{self.tag_prefix(submission)}{stage}"

    def tag_prefix(self, submission: int | None = None) -> str:
        """What the tags of all jobs of a submission, or of the run, begin with."""
        return f"planit:{self.run_id}:" + ("" if submission is None else f"{submission}.")


def absolute(base: Path) -> Path:
    """Where a folder of runs is. Raises RunError if ``~`` stands for nothing."""
    try:
        return base.expanduser().absolute()
    except RuntimeError:
        raise RunError(f"{base}: there is no such user, or no home folder") from None


def place_of(base: Path, plan: str) -> Path:
    """Where the runs of a plan are. Raises RunError if ``~`` stands for nothing."""
    return absolute(base) / slug_of(plan)


def is_run(path: Path) -> bool:
    """Whether a folder is a run directory: the manifest comes last, so it is whole."""
    return (path / MANIFEST).is_file()


def _refuse_closed(folders: Iterable[Path]) -> None:
    for folder in folders:
        if folder.stat().st_mode & 0o050 != 0o050:
            message = f"share=group: the group cannot enter {folder}"
            raise RunError(message, hint=f"chmod g+rx {folder}")


def _drop_default_acl(folder: int) -> None:
    """Let modes and the umask decide below a run again, as they do where there is no such list."""
    with suppress(OSError, AttributeError):
        os.removexattr(folder, "system.posix_acl_default")
