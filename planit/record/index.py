"""Finds runs below a folder: all of them, the latest, or the one that a word means."""

from __future__ import annotations

from pathlib import Path

from planit.errors import RunError
from planit.record.rundir import RunDir

DEFAULT_BASE = Path("planit_runs")


def all_runs(base: Path) -> list[RunDir]:
    """All run directories below `base`, the newest first (run ids begin with their time)."""
    found = [RunDir(path.parent) for path in base.glob("*/*/manifest.json")]
    return sorted(found, key=lambda run: (run.run_id[:15], run.path.stat().st_mtime), reverse=True)


def find(base: Path, word: str | None = None) -> RunDir:
    """The run that `word` means.

    Args:
        base: folder of the runs.
        word: nothing for the latest run; a plan's name for its latest; a run id or the beginning
            of one, also as ``plan/run-id``; or the path of a run directory.

    Raises:
        RunError: there is none, or there are several.
    """
    if word and ("/" in word or word in (".", "..")) and (Path(word) / "manifest.json").is_file():
        return RunDir(Path(word).absolute())
    runs = all_runs(base)
    if not runs:
        raise RunError(
            f"no runs in {base}", hint="submit a plan first, or say where they are: --runs-dir DIR"
        )
    if not word:
        return runs[0]
    matches = matching(runs, word)
    if not matches:
        raise RunError(f"no run {word!r} in {base}", hint="planit runs lists them")
    if len(matches) > 1:
        names = ", ".join(run.run_id for run in matches[:5])
        raise RunError(f"{word!r} means {len(matches)} runs: {names}", hint="type more of the id")
    return matches[0]


def matching(runs: list[RunDir], word: str) -> list[RunDir]:
    """The runs that `word` can mean; a plan's name means its latest run."""
    of_plan = [run for run in runs if run.path.parent.name == word]
    if of_plan:
        return of_plan[:1]
    names = [(run, run.run_id, f"{run.path.parent.name}/{run.run_id}") for run in runs]
    exact = [run for run, *both in names if word in both]
    return exact or [run for run, *both in names if any(name.startswith(word) for name in both)]
