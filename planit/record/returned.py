"""What steps have returned, by the end markers of their attempts; for a few steps, or for all."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.record.markers import EndMarker, Outcome
from planit.record.stage_dir import stage_dirs, stage_name
from planit.record.task_files import TaskFiles, read_marker

_Place = tuple[int, int, int]


class Returned:
    """The results of a run's steps; the places of all steps are read when one is first asked for.

    Args:
        run_path: the run directory.
    """

    def __init__(self, run_path: Path) -> None:
        self._run_path = run_path

    def of(self, name: str) -> Any:
        """What a step returned in its newest attempt that succeeded, if that is plain data."""
        for place in reversed(self._places.get(name, ())):
            end = self._first_end(place)
            if end is None:
                newest = TaskFiles(self._run_path, *place).newest_end()
                end = None if newest is None else newest[1]
            if end is not None and end.outcome is Outcome.SUCCEEDED:
                return end.result
        return None

    def _first_end(self, place: _Place) -> EndMarker | None:
        """The first attempt's end if that is also the last: quick, for there may be thousands."""
        submission, stage, index = place
        path = f"{self._run_path}/{stage_name(submission, stage)}/{index}"
        end = EndMarker.from_json(read_marker(f"{path}.0.json"))
        return None if Path(f"{path}.1.json").exists() else end

    @cached_property
    def _places(self) -> dict[str, list[_Place]]:
        """Submission, stage and index of each placement of a step, the newest last."""
        found: dict[str, list[_Place]] = defaultdict(list)
        for stage in stage_dirs(self._run_path):
            with suppress(OSError):
                for index, (_, name) in enumerate(stage.tasks()):
                    found[name].append((stage.submission, stage.number, index))
        return found
