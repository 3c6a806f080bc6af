"""What a submission consists of: ``submissions/<n>.json`` lists its stages.

The first submission of a run is number 1; each resume adds one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record.files import read_json, write_json

FOLDER = "submissions"


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
        """Read one. Raises ValueError, KeyError, TypeError or AttributeError for anything else."""
        limit = content["max_concurrent"]
        return cls(
            number=int(content["number"]),
            name=str(content["name"]),
            cluster=content["cluster"],
            array=bool(content["array"]),
            tasks=[str(name) for name in content["tasks"]],
            edges=[(str(kind), int(parent)) for kind, parent in content["edges"]],
            options=dict(content["options"]),
            max_concurrent=None if limit is None else int(limit),
            checkpoints=bool(content["checkpoints"]),
        )


def path_of(run_path: Path, number: int) -> Path:
    """Where a submission is written down."""
    return run_path / FOLDER / f"{number}.json"


def numbers(run_path: Path) -> list[int]:
    """The numbers of the submissions that left a file, the newest last."""
    files = (run_path / FOLDER).glob("*.json")
    return sorted(int(path.stem) for path in files if path.stem.isdigit())


def write(run_path: Path, number: int, stages: Sequence[SubmittedStage]) -> None:
    """Write down what a submission consists of."""
    write_json(path_of(run_path, number), {"stages": [vars(stage) for stage in stages]})


def read(run_path: Path, number: int) -> list[SubmittedStage] | None:
    """The stages of a submission, in order; None if they cannot be read as a whole."""
    content: Any = read_json(path_of(run_path, number))
    try:
        stages = [SubmittedStage.from_json(one) for one in content["stages"]]
        sizes = {stage.number: len(stage.tasks) for stage in stages}
        for stage in stages:
            for kind, parent in stage.edges:
                if sizes[parent] < len(stage.tasks) and kind == "aftercorr":
                    return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return stages
