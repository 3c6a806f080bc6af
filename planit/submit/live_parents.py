"""What steps that are rerun must still wait for: live jobs of earlier submissions of the run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from planit.backends.base import Dependency
from planit.graph import EdgeKind, Graph, Stage
from planit.record.history import History
from planit.record.jobs import JobRef
from planit.record.stage_dir import Needed
from planit.status.states import RunStatus


def live_parents(
    history: History, status: RunStatus, rerun: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """For each step that is rerun, the steps in the queue that it must still wait for.

    The way up from a step ends at a step that is rerun too (an edge of the new submission), and at
    a live one; a done one is passed through.
    """
    again = set(rerun)
    live = {
        step.name
        for step in status.steps
        if step.job is not None and not step.state.is_final and step.name not in again
    }
    above: dict[str, dict[str, None]] = {}
    for leaf in history.leaves:
        names: dict[str, None] = {}
        for parent in history.parents.get(leaf.name, ()):
            if parent in live:
                names[parent] = None
            elif parent not in again:
                names |= above.get(parent, {})
        above[leaf.name] = names
    return {name: tuple(above[name]) for name in rerun}


def live_dependencies(
    graph: Graph, live: Mapping[str, tuple[str, ...]], history: History
) -> dict[int, list[Dependency]]:
    """Steps of one stage wait for the same live jobs: that is a part of their key.

    A packed stage waits for what any of its steps waits for.
    """
    return {
        stage.number: [
            Dependency(EdgeKind.AFTEROK, JobRef(place.cluster, str(place.key)))
            for place in (history.placements[name] for name in _live_before(stage, live))
        ]
        for stage in graph.stages
    }


def live_needed(
    graph: Graph, live: Mapping[str, tuple[str, ...]], history: History
) -> dict[int, list[Needed]]:
    """The same for the jobs themselves, which check the record before they run."""
    return {
        stage.number: [
            Needed(name, place.submission, place.stage, place.task)
            for name in _live_before(stage, live)
            if (place := history.placements[name])
        ]
        for stage in graph.stages
    }


def _live_before(stage: Stage, live: Mapping[str, tuple[str, ...]]) -> Iterable[str]:
    if not stage.packed:
        return live[stage.tasks[0].name]
    return dict.fromkeys(name for task in stage.tasks for name in live[task.name])
