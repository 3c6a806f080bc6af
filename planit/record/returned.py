"""What steps have returned, by the end markers of their attempts; for a few steps, or for all."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.record.markers import Outcome
from planit.record.stage_dir import stage_dirs
from planit.record.task_files import TaskFiles


class Returned:
    """The results of a run's steps; the places of all steps are read when one is first asked for.

    Args:
        run_path: the run directory.
    """

    def __init__(self, run_path: Path) -> None:
        self._run_path = run_path

    def of(self, name: str) -> Any:
        """What a step returned in its newest attempt that succeeded, if that is plain data."""
        for submission, stage, index in reversed(self._places.get(name, ())):
            end = TaskFiles(self._run_path, submission, stage, index).newest_end()
            if end is not None and end[1].outcome is Outcome.SUCCEEDED:
                return end[1].result
        return None

    @cached_property
    def _places(self) -> dict[str, list[tuple[int, int, int]]]:
        """Submission, stage and index of each placement of a step, the newest last."""
        found: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for stage in stage_dirs(self._run_path):
            with suppress(OSError):
                for index, (_, name) in enumerate(stage.tasks()):
                    found[name].append((stage.submission, stage.number, index))
        return found
