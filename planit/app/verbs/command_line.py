"""What the verbs that work on runs share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from planit.app.config import base_folders
from planit.errors import ConfigError, RunError, did_you_mean, suggest
from planit.graph.step_names import known_names, steps_named
from planit.record import history as histories
from planit.record import index
from planit.record.run_dir import RunDir
from planit.status.states import printable

RUN_HELP = (
    "id of a run, a part of one (4 characters or more, with a digit) that no other has, a plan's"
    " name or a path; by default the latest run"
)
STEP_HELP = (
    f"RUN: {RUN_HELP}. STEP: a step's name; without its branch, all branches (train); or a pattern"
    " in quotes, such as 'train[lr=0.1*]', where * is any text, ? any character, and [ ] are the"
    " brackets of the name. An exact name wins. A first word that means steps of the latest run is"
    " never a RUN: type the run's id for another one."
)
_MAX_LISTED = 30  # steps in a hint


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are planit's; options may stand anywhere among the words."""

    @cached_property
    def where(self) -> Any:
        """The options that say where the runs are, of which one can be given."""
        return self.add_mutually_exclusive_group()

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """``RUN --from STEP KEY=VALUE`` too, which argparse takes only if it is told to.

        Where the folder of the runs is not said, those of this project are looked for.
        """
        options = self.parse_intermixed_args(args, namespace)
        if getattr(options, "runs_dir", ()) is None:
            options.runs_dir = base_folders.here(_composed)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise ConfigError(message, hint=f"{self.prog} --help")


def _composed(folder: Path) -> str | None:
    from planit.app.config.composed_base import composed_runs_dir

    return composed_runs_dir(folder)


def parser(verb: str, what: str) -> Parser:
    """A parser for a verb, with the options that all of them have."""
    made = Parser(prog=f"planit {verb}", description=what)
    made.where.add_argument(
        "--runs-dir",
        type=lambda text: [Path(text)],
        metavar="DIR",
        help="the folder of the runs; by default those of this project: the configuration's"
        " runs_dir, else $PLANIT_RUNS_DIR, else planit_runs, and wherever else runs were submitted"
        " to from its folder",
    )
    return made


def count(text: str) -> int:
    """A number of lines or of runs; an error of the command line if that is below 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return int(text)


def run_and_steps(bases: Sequence[Path], words: list[str]) -> tuple[RunDir, list[str]]:
    """Read ``[RUN] [STEP...]``: if the first word means steps of the latest run, all words do.

    Otherwise the first word is a run. So no word picks another run that could be a step.

    Args:
        bases: the folders of the runs.
        words: as typed.

    Returns:
        The run, and the words for its steps, which may mean nothing if a run was named.

    Raises:
        RunError: the first word is neither, or a later one is not a step of the latest run.
    """
    if not words:
        return index.latest(bases), []
    try:
        newest = index.latest(bases)
        known = list(histories.leaves(newest.manifest["tree"]))
    except RunError:  # none, or not readable: then only a run can be meant
        return index.find(bases, words[0]), words[1:]
    unknown = [word for word in words if not steps_named(known, word)]
    if not unknown:
        return newest, words
    found = index.lookup(bases, words[0]) if unknown[0] == words[0] else None
    if found is None:
        what = f"no step {unknown[0]!r} in the latest run {newest.run_id}"
        what += f", and no run {words[0]!r}" if unknown[0] == words[0] else ""
        near = did_you_mean(unknown[0], [*known_names(known), *index.names(bases)])
        hint = f"{near}planit status shows the steps, planit runs lists the runs"
        raise RunError(what, hint=hint)
    return found, words[1:]


def steps_of(run: RunDir, words: Iterable[str]) -> list[str]:
    """The names of the steps that words mean, each once; says on stderr how many those are.

    Raises:
        RunError: a word means none.
    """
    words = list(words)
    known = list(histories.leaves(run.manifest["tree"])) if words else []
    names: dict[str, None] = {}
    for word in words:
        found = [leaf.name for leaf in steps_named(known, word)]
        if not found:
            raise RunError(
                f"no step {word!r} in this run",
                hint=suggest(word, known_names(known)[:_MAX_LISTED]),
            )
        if found != [word]:
            line = f"{word}: {len(found)} step(s) of run {run.run_id}"
            print(printable(line), file=sys.stderr)
        names |= dict.fromkeys(found)
    return list(names)
