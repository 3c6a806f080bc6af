"""What the verbs that work on runs share."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NoReturn

from planit.errors import ConfigError, RunError, did_you_mean
from planit.record import history as histories
from planit.record import index
from planit.record.run_dir import RunDir

RUN_HELP = "id of a run, the beginning of one, a plan's name or a path; by default the latest run"
WHOLE_RUN_HELP = "whole id of a run, plan/id, a plan's name or a path; by default the latest run"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are planit's."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving."""
        raise ConfigError(message, hint=f"{self.prog} --help")


def parser(verb: str, what: str) -> Parser:
    """A parser for a verb, with the options that all of them have."""
    made = Parser(prog=f"planit {verb}", description=what)
    made.add_argument(
        "--runs-dir",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("PLANIT_RUNS_DIR") or index.DEFAULT_BASE),
        help="folder of the runs (default: $PLANIT_RUNS_DIR, else %(default)s)",
    )
    return made


def count(text: str) -> int:
    """A number of lines or of runs; an error of the command line if that is below 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return int(text)


def run_and_steps(
    base: Path, words: list[str], *, whole: bool = False, branches: bool = False
) -> tuple[RunDir, list[str]]:
    """Read ``[RUN] [STEP...]``: words that all are steps of the latest run, else the first a run.

    Args:
        base: folder of the runs.
        words: as typed.
        whole: the beginning of an id is not enough for a run.
        branches: a step may be named without its branch.

    Raises:
        RunError: the first word is neither.
    """
    if not words:
        return index.latest(base), []
    try:
        newest = index.latest(base)
        leaves = list(histories.leaves(newest.manifest["tree"]))
        steps = [leaf.name for leaf in leaves]
        steps += dict.fromkeys(leaf.base for leaf in leaves) if branches else ()
    except RunError:  # none, or not readable: then only a run can be meant
        return index.find(base, words[0], whole=whole), words[1:]
    unknown = [word for word in words if word not in steps]
    if not unknown:
        return newest, words
    found = index.lookup(base, words[0], whole=whole)
    if found is None:
        raise RunError(
            f"no step {unknown[0]!r} in the latest run {newest.run_id}, and no run {words[0]!r}",
            hint=f"{did_you_mean(unknown[0], [*steps, *index.names(base)])}"
            "planit status shows the steps, planit runs lists the runs",
        )
    return found, words[1:]
