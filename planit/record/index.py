"""Finds runs in folders of runs: all of them, the latest, or the one that a word means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from planit.errors import RunError, did_you_mean
from planit.record import run_paths
from planit.record.files import slug_of
from planit.record.run_dir import RunDir, is_run

DEFAULT_BASE = Path("planit_runs")

_MAX_NAMED = 5
_MIN_PART = 4  # characters


def all_runs(*bases: Path) -> list[RunDir]:
    """All run directories in folders of runs, the newest first."""
    return [RunDir(path) for path in run_paths.run_paths(bases)]


def latest(bases: Sequence[Path]) -> RunDir:
    """The latest run of this user's; another's only if there is no other.

    Raises:
        RunError: there is none.
    """
    runs = _mine_first(all_runs(*bases))
    if not runs:
        hint = "planit runs --all lists all of yours, --runs-dir DIR says where to look"
        raise RunError(f"no runs in {places(bases)}", hint=hint)
    return runs[0]


def find(bases: Sequence[Path], word: str | None = None) -> RunDir:
    """The run that `word` means; see `lookup`. Without a word, the latest.

    Raises:
        RunError: there is none, or there are several.
    """
    found = latest(bases) if word is None else lookup(bases, word)
    if found is None:
        hint = f"{did_you_mean(str(word), names(bases))}planit runs lists them"
        raise RunError(f"no run {word!r} in {places(bases)}", hint=hint)
    return found


def lookup(bases: Sequence[Path], word: str) -> RunDir | None:
    """The run that `word` means, or None.

    Args:
        bases: the folders of the runs.
        word: a run's id, also as ``plan/id``; a part of one, of at least 4 characters and with a
            digit, that only one id has; a plan's whole name, for its latest run; or the path of a
            run directory.

    Raises:
        RunError: it means several.
    """
    if ("/" in word or word in (".", "..")) and is_run(Path(word)):
        return RunDir(Path(word).absolute())
    if not word:
        raise RunError("an empty word is not a run", hint="planit runs lists them")
    runs = _mine_first(all_runs(*bases))
    if exact := _exact(runs, word):
        mine = [run for run in exact if is_mine(run)]
        return _only(mine or exact, word, "type plan/id")
    alike = [run for run in runs if _has_part(run, word)]
    return _only(alike, word, "type more of the id") if alike else None


def places(bases: Sequence[Path]) -> str:
    """Folders of runs, for a message."""
    return ", ".join(map(str, bases))


def names(bases: Sequence[Path]) -> list[str]:
    """What could be typed for a run: the ids, and the names of the plans."""
    runs = all_runs(*bases)
    return [*(run.run_id for run in runs), *dict.fromkeys(run.path.parent.name for run in runs)]


def _has_part(run: RunDir, word: str) -> bool:
    """Whether an id has this part; a word without a digit is rather a step or a plan."""
    plan, slash, part = word.rpartition("/")
    if len(part) < _MIN_PART or not any(character.isdigit() for character in part):
        return False
    return part in run.run_id and (not slash or plan == run.path.parent.name)


def _ids(run: RunDir) -> tuple[str, str]:
    return run.run_id, f"{run.path.parent.name}/{run.run_id}"


def _exact(runs: Sequence[RunDir], word: str) -> list[RunDir]:
    """The runs of this id, and the first one of the plan of this name."""
    found = {run.path: run for run in runs if word in _ids(run)}
    folder = [run for run in runs if run.path.parent.name == slug_of(word)]
    named = next((run for run in folder if plan_of(run) == word), None)
    if named is None and folder and folder[0].path.parent.name == word:
        named = folder[0]
    if named is not None:
        found[named.path] = named
    return list(found.values())


def plan_of(run: RunDir) -> str | None:
    """The plan's name; plans of different names may share a folder."""
    try:
        return str(run.manifest.get("plan"))
    except RunError:
        return None


def _only(runs: Sequence[RunDir], word: str, hint: str) -> RunDir:
    if len(runs) > 1:
        raise RunError(f"{word!r} means {_listed(runs)}", hint=hint)
    return runs[0]


def _listed(runs: Sequence[RunDir]) -> str:
    shown = ", ".join(f"{run.path.parent.name}/{run.run_id}" for run in runs[:_MAX_NAMED])
    more = ", ..." if len(runs) > _MAX_NAMED else ""
    return f"{len(runs)} runs: {shown}{more}" if len(runs) > 1 else f"run {shown}"


def _mine_first(runs: Sequence[RunDir]) -> list[RunDir]:
    """This user's runs before others': what somebody else put there is nobody's default."""
    return sorted(runs, key=lambda run: not is_mine(run))


def is_mine(run: RunDir) -> bool:
    """Whether the run, and a link that leads to it, belong to this user."""
    return run_paths.is_mine(run.path)
