"""What a submission consists of: ``submissions/<n>.json`` lists its stages.

The first submission of a run is number 1; each resume adds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json, write_json

FOLDER = "submissions"
_KINDS = ("afterok", "aftercorr", "afterany")  # of edges, as sbatch calls them


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

    @classmethod
    def from_json(cls, content: Any) -> SubmittedStage:
        """Read one.

        Raises:
            ValueError, TypeError: anything of it is not as it was written.
        """
        if not isinstance(content, dict):
            raise TypeError("a stage is an object")
        edges = content.get("edges")
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
        )
        written = {**vars(stage), "edges": [list(edge) for edge in stage.edges]}
        if any(key not in content or content[key] != value for key, value in written.items()):
            raise ValueError("a value of another type")
        if not stage.tasks:
            raise ValueError("a stage without steps")
        return stage


def _edge(content: Any) -> tuple[str, int]:
    kind, parent = content
    if kind not in _KINDS or not isinstance(parent, int):
        raise ValueError("an edge is a kind and the number of a stage")
    return kind, parent


def path_of(run_path: Path, number: int) -> Path:
    """Where a submission is written down."""
    return run_path / FOLDER / f"{number}.json"


def numbers(run_path: Path) -> list[int]:
    """The numbers of the submissions that left a file, the newest last."""
    files = (run_path / FOLDER).glob("*.json")
    return sorted(int(path.stem) for path in files if path.stem.isdecimal())


def write(run_path: Path, number: int, stages: Sequence[SubmittedStage]) -> None:
    """Write down what a submission consists of."""
    write_json(path_of(run_path, number), {"stages": [vars(stage) for stage in stages]})


def read(run_path: Path, number: int) -> list[SubmittedStage] | None:
    """The stages of a submission, in order; None if they cannot be read as a whole."""
    content: Any = read_json(path_of(run_path, number))
    try:
        stages = [SubmittedStage.from_json(one) for one in content["stages"]]
    except (KeyError, TypeError, ValueError):
        return None
    return stages if _fit(stages) else None


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
