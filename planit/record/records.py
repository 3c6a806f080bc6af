"""The records of all steps of a run, from one listing of each stage's folder.

What is listed is opened only when it is asked for: a status has most steps from an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from planit.record.history import History
from planit.record.markers import Attempt, EndMarker, Outcome, StartMarker, Tries
from planit.record.run_dir import RunDir
from planit.record.stage_dir import StageDir
from planit.record.task_files import list_records, read_attempts, read_record

_Stage = tuple[int, int]
_Place = tuple[int, int, int]


class RunRecords:
    """The records of a run's steps; a stage's folder is listed when it is first asked for."""

    def __init__(self, run: RunDir, history: History) -> None:
        self._path = run.path
        self._places = history.places
        self._listed: dict[_Stage, dict[int, list[int]]] = {}
        self._stamps: dict[_Stage, int] = {}
        self._folders: dict[_Stage, Path] = {}

    def stages(self, name: str) -> list[_Stage]:
        """Submission and number of each stage that a step was a part of."""
        return [place[:2] for place in self._places.get(name, ())]

    def stamp(self, stage: _Stage) -> int:
        """When the folder of a stage changed last (nanoseconds); taken before it is listed."""
        if stage not in self._stamps:
            self._stamps[stage] = StageDir(self._path, *stage).changed_ns()
        return self._stamps[stage]

    def stamps(self) -> dict[_Stage, int]:
        """The stamps of the stages so far."""
        return dict(self._stamps)

    def count(self, name: str) -> int:
        """How many records a step has; none is opened."""
        return sum(len(self._of(place)) for place in self._places.get(name, ()))

    def tries(self, name: str) -> Tries:
        """The attempts at a step."""
        found = [self._read(place, restarts) for place, restarts in self._found(name)]
        return found[0] if len(found) == 1 else _joined(found)

    def again(self, name: str, before: Tries) -> Tries:
        """The same, with the newest attempt read once more: it may have ended meanwhile."""
        *_, place = self._places[name]
        restart = max(self._of(place), default=0)
        return _joined([before, self._read(place, [restart])])

    def result(self, place: _Place) -> tuple[Any, bool]:
        """What the newest attempt at a placement of a step returned, as its record has it.

        Returns:
            The plain data, or None; and whether the record holds something else instead, pickled.
        """
        restart = max(self._of(place), default=0)
        marker, has_more = read_record(f"{self._folder(place)}/{place[2]}.{restart}.json")
        end = EndMarker.from_json(marker)
        if end is None or end.outcome is not Outcome.SUCCEEDED:
            return None, False
        return end.result, has_more and end.result is None

    def any_of(self, submission: int) -> bool:
        """Whether anything of a submission has left a record."""
        stages = {place[:2] for places in self._places.values() for place in places}
        return any(self._list(stage) for stage in stages if stage[0] == submission)

    def _read(self, place: _Place, restarts: list[int]) -> Tries:
        return read_attempts(self._folder(place), place[0], place[2], restarts)

    def _folder(self, place: _Place) -> Path:
        stage = place[:2]
        if stage not in self._folders:
            self._folders[stage] = StageDir(self._path, *stage).path
        return self._folders[stage]

    def _found(self, name: str) -> Iterator[tuple[_Place, list[int]]]:
        for place in self._places.get(name, ()):
            if restarts := self._of(place):
                yield place, restarts

    def _of(self, place: _Place) -> list[int]:
        return self._list(place[:2]).get(place[2], [])

    def _list(self, stage: _Stage) -> dict[int, list[int]]:
        if stage not in self._listed:
            self.stamp(stage)
            self._listed[stage] = list_records(self._path, *stage)
        return self._listed[stage]


def _joined(found: list[Tries]) -> Tries:
    starts: dict[Attempt, StartMarker] = {}
    ends: dict[Attempt, EndMarker] = {}
    problems: dict[str, None] = {}
    for one in found:
        starts |= one.starts
        ends |= one.ends
        problems |= dict.fromkeys(one.problems)
    return Tries(starts, ends, tuple(problems))
