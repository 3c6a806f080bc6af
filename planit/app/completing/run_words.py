"""Runs and their steps, as a shell offers them: by the names of files and one manifest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from planit.record import run_paths
from planit.record.manifest_tree import leaves_of

_MIN_PART = 4  # characters of a run's id, as `planit.record.index` takes them


class RunWords:
    """What can be typed for runs, and for their steps; each with a note.

    Args:
        bases: the folders of the runs.
    """

    def __init__(self, bases: Sequence[Path]) -> None:
        self._bases = bases
        self._read: dict[Path, list[Mapping[str, Any]]] = {}

    @cached_property
    def _runs(self) -> list[Path]:
        """This user's first, the newest first."""
        runs = run_paths.run_paths(self._bases)
        return sorted(runs, key=lambda run: not run_paths.is_mine(run))

    def runs(self, current: str) -> Iterator[tuple[str, str]]:
        """Ids, then plans; ids with the plan if that is how one begins to type."""
        for run in self._runs:
            text = f"{run.parent.name}/{run.name}" if "/" in current else run.name
            yield text, run.parent.name
        for plan in dict.fromkeys(run.parent.name for run in self._runs):
            yield plan, "latest run of this plan"

    def steps(self, run: Path | None, current: str) -> Iterator[tuple[str, str]]:
        """The steps of a run, by default of the latest; branches once their bracket is typed."""
        leaves = [(leaf["name"], _base(leaf)) for leaf in self._leaves(run)]
        branches = Counter(base for name, base in leaves if name != base)
        for base in dict.fromkeys(base for _, base in leaves):
            yield base, f"{branches[base]} branches" if base in branches else "step"
        if "[" in current:
            yield from ((name, "step") for name, base in leaves if name != base)

    def named(self, word: str) -> Path | None:
        """The run that a word means, if it means one."""
        if (Path(word) / run_paths.MANIFEST).is_file():
            return Path(word)
        plan, _, part = word.rpartition("/")
        runs = [run for run in self._runs if not plan or run.parent.name == plan]
        for run in runs:
            if run.name == part or (not plan and run.parent.name == word):
                return run
        if len(part) < _MIN_PART or not any(sign.isdigit() for sign in part):
            return None
        found = [run for run in runs if part in run.name]
        return found[0] if len(found) == 1 else None

    def keys(self, run: Path | None) -> Iterator[tuple[str, str]]:
        """The keys by which `resume` changes steps: their SLURM arguments and their parameters."""
        for leaf in self._leaves(run):
            step = f"plan.steps.{_base(leaf)}"
            yield f"{step}.slurm.", "SLURM arguments of this step"
            for name in leaf.get("kwargs", ()):
                yield f"{step}.{name}=", "parameter"

    def _leaves(self, run: Path | None) -> list[Mapping[str, Any]]:
        """The steps of a run, by default of the latest, as its manifest has them."""
        run = run or (self._runs[0] if self._runs else None)
        if run is None:
            return []
        if run not in self._read:
            manifest = json.loads((run / run_paths.MANIFEST).read_bytes())
            self._read[run] = list(leaves_of(manifest["tree"]))
        return self._read[run]


def _base(leaf: Mapping[str, Any]) -> str:
    """The name of a step without its branch."""
    return str(leaf.get("base", leaf["name"]))
