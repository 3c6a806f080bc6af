"""What a submission consists of: ``submissions/<n>.json`` lists its stages.

The first submission of a run is number 1; each resume adds one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json, write_json

FOLDER = "submissions"
_KINDS = ("afterok", "aftercorr", "afterany")  # of edges, as sbatch calls them


@dataclass(frozen=True)
class SubmittedPart:
    """Steps of a packed stage with the same parameters and edges.

    Attributes:
        job: which task of the array runs them; 0 for a single job.
        tasks: their places in the stage.
        edges: kind and place, among the parts, of each part that they wait for.
        options: what each of them takes of the job, under submitit's names.
        max_concurrent: the most of them that run at once, or None.
    """

    job: int
    tasks: Sequence[int]
    edges: Sequence[tuple[str, int]]
    options: dict[str, Any]
    max_concurrent: int | None = None

    @classmethod
    def from_json(cls, content: Any) -> SubmittedPart:
        """Read one. Raises ValueError or TypeError if it is not as it was written."""
        tasks, limit = content["tasks"], content["max_concurrent"]
        if not isinstance(content["options"], dict) or not isinstance(limit, int | None):
            raise TypeError("a value of another type")
        if not isinstance(content["job"], int) or not all(isinstance(one, int) for one in tasks):
            raise TypeError("a value of another type")
        edges = [_edge(edge) for edge in content["edges"]]
        return cls(content["job"], tasks, edges, content["options"], limit)


@dataclass(frozen=True)
class SubmittedStage:
    """A stage of a submission: one job, or one array.

    Attributes:
        number: its place in the submission.
        name: the job's name.
        cluster: where it went; None is the default one.
        array: whether it is an array.
        tasks: the steps' names; task i of an array has index i.
        edges: kind and number of each stage that it waits for.
        options: submission parameters under submitit's names.
        max_concurrent: the most tasks that run at once, or None.
        checkpoints: whether a task can save itself when it runs out of time.
        packed: of a packed stage, what its jobs run.
    """

    number: int
    name: str
    cluster: str | None
    array: bool
    tasks: Sequence[str]
    edges: Sequence[tuple[str, int]] = ()
    options: dict[str, Any] = field(default_factory=dict)
    max_concurrent: int | None = None
    checkpoints: bool = False
    packed: Sequence[SubmittedPart] = ()

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {**vars(self), "packed": [vars(part) for part in self.packed]}

    @classmethod
    def from_json(cls, content: Any) -> SubmittedStage:
        """Read one.

        Raises:
            ValueError, TypeError: anything of it is not as it was written.
        """
        if not isinstance(content, dict):
            raise TypeError("a stage is an object")
        edges, packed = content.get("edges"), content.get("packed")
        stage = cls(
            number=fields.whole(content, "number") or 0,
            name=fields.text(content, "name") or "",
            cluster=fields.text(content, "cluster"),
            array=content.get("array") is True,
            tasks=fields.texts(content, "tasks"),
            edges=[_edge(edge) for edge in edges] if isinstance(edges, list) else [],
            options=dict(fields.mapping(content, "options")),
            max_concurrent=fields.whole(content, "max_concurrent"),
            checkpoints=content.get("checkpoints") is True,
            packed=tuple(map(SubmittedPart.from_json, packed if isinstance(packed, list) else ())),
        )
        written = fields.parse(json.dumps(stage.as_json()))
        if any(key not in content or content[key] != value for key, value in written.items()):
            raise ValueError("a value of another type")
        if not stage.tasks:
            raise ValueError("a stage without steps")
        if stage.packed and not _fit_in(stage):
            raise ValueError("the parts of a packed stage do not fit")
        return stage


def _edge(content: Any) -> tuple[str, int]:
    kind, parent = content
    if kind not in _KINDS or not isinstance(parent, int):
        raise ValueError("an edge is a kind and the number of a stage")
    return kind, parent


def path_of(run_path: Path, number: int) -> Path:
    """Where a submission is written down."""
    return run_path / name_of(number)


def name_of(number: int) -> str:
    """The same, below the run directory."""
    return f"{FOLDER}/{number}.json"


def numbers(run_path: Path) -> list[int]:
    """The numbers of the submissions that left a file, the newest last."""
    files = (run_path / FOLDER).glob("*.json")
    return sorted(int(path.stem) for path in files if path.stem.isdecimal())


def write(run_path: Path, number: int, stages: Sequence[SubmittedStage]) -> None:
    """Write down what a submission consists of."""
    write_json(path_of(run_path, number), {"stages": [stage.as_json() for stage in stages]})


def read(run_path: Path, number: int) -> list[SubmittedStage] | None:
    """The stages of a submission, in order; None if they cannot be read as a whole."""
    return _stages(read_json(path_of(run_path, number)))


def parsed(content: bytes) -> list[SubmittedStage] | None:
    """The same from what the file holds."""
    try:
        return _stages(fields.parse(content))
    except ValueError:
        return None


def _stages(content: Any) -> list[SubmittedStage] | None:
    try:
        stages = [SubmittedStage.from_json(one) for one in content["stages"]]
    except (KeyError, TypeError, ValueError):
        return None
    return stages if _fit(stages) else None


def _fit_in(stage: SubmittedStage) -> bool:
    """Whether each step of a packed stage is in one part, which waits only for earlier ones."""
    for place, part in enumerate(stage.packed):
        for kind, parent in part.edges:
            if not 0 <= parent < place or stage.packed[parent].job != part.job:
                return False
            if kind == "aftercorr" and len(stage.packed[parent].tasks) < len(part.tasks):
                return False
    held = sorted(index for part in stage.packed for index in part.tasks)
    return held == list(range(len(stage.tasks)))


def _fit(stages: Sequence[SubmittedStage]) -> bool:
    """Whether each stage has a number of its own, and waits only for stages before it."""
    sizes: dict[int, int] = {}
    for stage in stages:
        for kind, parent in stage.edges:
            if parent not in sizes or (kind == "aftercorr" and sizes[parent] < len(stage.tasks)):
                return False
        if stage.number in sizes:
            return False
        sizes[stage.number] = len(stage.tasks)
    return True
