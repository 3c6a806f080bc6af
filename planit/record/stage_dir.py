"""The folder of a stage, ``stages/<n>.<stage>/``: what one sbatch call submits.

::

    script.sh    what sbatch takes
    tasks        line i: slug and name of task i, with a tab between them
    calls        the pickled calls of the tasks (see `planit.record.call_file`)
    packed.log   what a packed job writes besides its steps; of an array packed.<job>.log
    after.json   the steps that must have succeeded before a task may run

Beside them each task leaves its record and its log (see `planit.record.task_files`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from planit.record.files import make_dir, read_json, write_json, write_new
from planit.record.trust import TrustedDir

_FOLDER, _SCRIPT, _TASKS, _AFTER, _CALLS = "stages", "script.sh", "tasks", "after.json", "calls"


@dataclass(frozen=True)
class Needed:
    """A step that must have succeeded: task `index` of a stage of a submission."""

    name: str
    submission: int
    stage: int
    index: int


@dataclass(frozen=True)
class After:
    """What a stage waits for.

    Attributes:
        edges: kind ("afterok", "aftercorr") and number of each stage of the same submission whose
            steps must have succeeded.
        also: further steps, of earlier submissions, that must have succeeded.
        is_in_lane: whether it waits for the end of others too, well or not (max_concurrent).
    """

    edges: Sequence[tuple[str, int]] = ()
    also: Sequence[Needed] = ()
    is_in_lane: bool = False


@dataclass(frozen=True)
class StageDir:
    """The folder of one stage of a submission."""

    run_path: Path
    submission: int
    number: int

    @property
    def path(self) -> Path:
        return self.run_path / self.name

    @property
    def name(self) -> str:
        """Where it is below the run directory."""
        return stage_name(self.submission, self.number)

    @property
    def calls_file(self) -> Path:
        return self.path / _CALLS

    @property
    def script(self) -> Path:
        return self.path / _SCRIPT

    def packed_log(self, job: str | None) -> Path:
        """What a packed job itself writes; `job` is its place in the array, or a pattern for it."""
        return self.path / ("packed.log" if job is None else f"packed.{job}.log")

    @property
    def tasks_file(self) -> Path:
        return self.path / _TASKS

    def changed_ns(self) -> int:
        """When an entry was last added, replaced or removed (nanoseconds since 1970); 0: never."""
        try:
            return self.path.stat().st_mtime_ns
        except OSError:
            return 0

    def write(self, tasks: Sequence[tuple[str, str]], after: After) -> None:
        """Write the list of tasks (slug and name of each, in order) and what they wait for."""
        make_dir(self.path)
        write_new(self.tasks_file, "".join(f"{slug}\t{name}\n" for slug, name in tasks))
        also = [[one.name, one.submission, one.stage, one.index] for one in after.also]
        edges = [list(edge) for edge in after.edges]
        content = {"stages": edges, "steps": also, "lane": after.is_in_lane}
        write_json(self.path / _AFTER, content)

    def tasks(self) -> list[tuple[str, str]]:
        """Slug and name of each task. Raises OSError if the list cannot be read."""
        text = self.tasks_file.read_text(encoding="utf-8")
        lines = [line.partition("\t") for line in text.split("\n") if line]
        return [(slug, name) for slug, _, name in lines]

    def after(self) -> After:
        """What the stage waits for.

        Raises:
            ValueError: it cannot be read.
        """
        content: Any = read_json(self.path / _AFTER)
        try:
            edges = [(str(kind), int(number)) for kind, number in content["stages"]]
            also = [Needed(*step) for step in content["steps"]]
            return After(edges, also, bool(content.get("lane")))
        except (AttributeError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"{self.path / _AFTER} cannot be read") from error

    def needed(self, index: int) -> list[Needed] | None:
        """The steps that must have succeeded before task `index`, or None if that is unreadable."""
        found: list[Needed] = []
        try:
            after = self.after()
            for kind, number in after.edges:
                tasks = StageDir(self.run_path, self.submission, number).tasks()
                found += [
                    Needed(name, self.submission, number, at)
                    for at, (_, name) in enumerate(tasks)
                    if kind != "aftercorr" or at == index
                ]
        except (OSError, ValueError):
            return None
        return [*found, *after.also]


def stage_name(submission: int | str, stage: int | str) -> str:
    """The folder of a stage, below the run directory; the numbers may be a shell's words."""
    return f"{_FOLDER}/{submission}.{stage}"


def open_calls(run: TrustedDir, submission: int, stage: int) -> BinaryIO:
    """The pickled calls of a stage. Raises RunError if another user could have written them."""
    return run.open(f"{stage_name(submission, stage)}/{_CALLS}")


def stage_dirs(run_path: Path) -> list[StageDir]:
    """All stages of all submissions, in order."""
    found: list[StageDir] = []
    try:
        names = os.listdir(run_path / _FOLDER)
    except OSError:  # gone, or another thing
        return found
    for name in names:
        submission, dot, number = name.partition(".")
        if dot and submission.isdecimal() and number.isdecimal():
            found.append(StageDir(run_path, int(submission), int(number)))
    return sorted(found, key=lambda stage: (stage.submission, stage.number))
