"""The records of all steps of a run, from one listing of each stage's folder.

What is listed is opened only when it is asked for: a status knows most steps from an earlier one.
"""

from __future__ import annotations

from planit.record.history import History
from planit.record.markers import Attempt, EndMarker, StartMarker, Tries
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles, list_records, read_attempts


class RunRecords:
    """The records of a run's steps."""

    def __init__(self, run: RunDir, history: History) -> None:
        self._path = run.path
        self._places = history.places
        stages = {place[:2] for places in self._places.values() for place in places}
        self._listed = {stage: list_records(run.path, *stage) for stage in stages}

    def count(self, name: str) -> int:
        """How many records the step has; nothing is opened."""
        return sum(
            len(self._listed[place[:2]].get(place[2], ())) for place in self._places.get(name, ())
        )

    def tries(self, name: str) -> Tries:
        """The attempts at a step."""
        found = [
            read_attempts(TaskFiles(self._path, *place), restarts)
            for place in self._places.get(name, ())
            if (restarts := self._listed[place[:2]].get(place[2]))
        ]
        return found[0] if len(found) == 1 else _joined(found)

    def again(self, name: str, before: Tries) -> Tries:
        """The same, with the newest attempt read once more: it may have ended meanwhile."""
        place = self._places[name][-1]
        restarts = self._listed[place[:2]].get(place[2], [0])
        return _joined([before, read_attempts(TaskFiles(self._path, *place), [max(restarts)])])

    def any_of(self, submission: int) -> bool:
        """Whether anything of a submission has left a record."""
        return any(bool(tasks) for stage, tasks in self._listed.items() if stage[0] == submission)


def _joined(found: list[Tries]) -> Tries:
    starts: dict[Attempt, StartMarker] = {}
    ends: dict[Attempt, EndMarker] = {}
    problems: dict[str, None] = {}
    for one in found:
        starts |= one.starts
        ends |= one.ends
        problems |= dict.fromkeys(one.problems)
    return Tries(starts, ends, tuple(problems))
