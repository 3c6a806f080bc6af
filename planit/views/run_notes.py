"""Lines on a run that is not just its plan: a part of it, or several configurations of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from planit.record import fields
from planit.record import history as histories
from planit.record.run_dir import RunDir
from planit.status.states import printable


def run_notes(run: RunDir) -> list[str]:
    """What to know about a run besides the states of its steps, a line each."""
    return [printable(line) for line in (*_part(run), *_configurations(run))]


def _part(run: RunDir) -> Iterator[str]:
    part = fields.mapping(run.manifest, "part")
    if left_out := fields.whole(part, "left_out"):
        runs = ", ".join(earlier.name for earlier in run.after)
        after = f"; what it stands behind was done in run {runs}" if runs else ""
        yield f"Part of the plan: {left_out} step(s) are left out{after}."


def _configurations(run: RunDir) -> Iterator[str]:
    texts: dict[int, list[str]] = defaultdict(list)
    steps: dict[int, set[str]] = defaultdict(set)
    for change in histories.changes(run):
        texts[change.number].append(change.text)
        steps[change.number].update(change.steps)
    if texts:
        yield f"This run holds {len(texts) + 1} configurations:"
    for number, said in texts.items():
        rerun = f"{len(steps[number])} step(s) ({_some(sorted(steps[number]))})"
        yield f"  submission {number} reran {rerun} with {' '.join(said)}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
