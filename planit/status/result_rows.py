"""What the steps of a run returned, a row for each branch: from end markers, nothing unpickled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from planit.backends.base import Client
from planit.errors import RunError, suggest
from planit.graph.step_names import steps_named
from planit.record import history as histories
from planit.record.bulk import uncollected
from planit.record.history import History, Leaf
from planit.record.records import RunRecords
from planit.record.run_dir import RunDir
from planit.status.cache import CachedStates
from planit.status.run_status import run_status
from planit.status.states import RunStatus, State, StepStatus


@dataclass(frozen=True)
class StepResult:
    """One row: a step, which branch it is of, and what it returned.

    Attributes:
        step: its name.
        values: the swept parameters of its branch.
        state: the state.
        result: what it returned, if it is done and that is plain data: numbers, text, booleans, and
            lists and mappings of them, as JSON has them; else None.
        elapsed_s: seconds that it ran, or has run so far.
        is_pickled: whether it returned something else, which only its job's `result` reads.
    """

    step: str
    values: Mapping[str, Any]
    state: State
    result: Any = None
    elapsed_s: float | None = None
    is_pickled: bool = False

    @property
    def has_result(self) -> bool:
        """Whether it has returned something."""
        return self.result is not None or self.is_pickled


@dataclass(frozen=True)
class RunResults:
    """The rows of one step of a run, or of several, and the states of all.

    Attributes:
        status: of the run.
        step: the step that the rows are of, without its branches; None for several steps.
        rows: in the order of the plan.
    """

    status: RunStatus
    step: str | None
    rows: Sequence[StepResult]


@uncollected()
def run_results(run: RunDir, client: Client, step: str | None = None) -> RunResults:
    """The results of a step's branches.

    Args:
        run: the run.
        client: who is asked for jobs that have not ended.
        step: the name of a step, with its branch or without. By default the last step of the
            branches of a sweep of which a branch has a result; without a sweep, every step.

    Raises:
        RunError: the folder is not a run directory, or there is no such step.
    """
    history = histories.read(run)
    groups = _named(history, step) if step is not None else _of_branches(history)
    status = CachedStates(run).whole() or run_status(run, client, history=history)
    reader = _Reader(run, history, status)
    rows: list[StepResult] = []
    chosen = next(iter(groups), None)
    for base, leaves in groups.items():
        found = [reader.row(leaf) for leaf in leaves]
        if not rows or any(row.has_result for row in found):
            rows, chosen = found, base
        if any(row.has_result for row in found):
            break
    return RunResults(status, chosen, rows)


def _named(history: History, step: str) -> dict[str | None, list[Leaf]]:
    """The step of this name, or else the branches of it, or what fits the pattern."""
    found = steps_named(history.leaves, step)
    if not found:
        names = dict.fromkeys(leaf.base for leaf in history.leaves)
        raise RunError(f"no step {step!r} in the run", hint=suggest(step, names))
    return {found[0].base if len({leaf.base for leaf in found}) == 1 else None: found}


def _of_branches(history: History) -> dict[str | None, list[Leaf]]:
    """The steps of the branches of a sweep, the last one first; without a sweep all in one."""
    groups: dict[str | None, list[Leaf]] = {}
    for leaf in history.leaves:
        if leaf.values:
            group = groups.pop(leaf.base, [])  # so that the last step comes last
            group.append(leaf)
            groups[leaf.base] = group
    return dict(reversed(groups.items())) if groups else {None: list(history.leaves)}


class _Reader:
    """Makes the rows; only the records of steps that are done are opened."""

    def __init__(self, run: RunDir, history: History, status: RunStatus) -> None:
        self._history = history
        self._states = {one.name: one for one in status.steps}
        self._records = RunRecords(run, history)

    def row(self, leaf: Leaf) -> StepResult:
        own = self._states.get(leaf.name) or self._unknown(leaf)
        result, is_pickled = None, False
        if own.state is State.DONE and leaf.name in self._history.placements:
            place = self._history.placements[leaf.name]
            where = (place.submission, place.stage, place.task)
            result, is_pickled = self._records.result(where)
        return StepResult(leaf.name, leaf.values, own.state, result, own.elapsed_s, is_pickled)

    def _unknown(self, leaf: Leaf) -> StepStatus:
        """The state of a step that a damaged cache of states has lost."""
        return StepStatus(leaf.name, leaf.slug, State.NOT_SUBMITTED)
