"""What the verbs that work on runs share."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

from planit.errors import ConfigError
from planit.record import index
from planit.record.rundir import RunDir

RUN_HELP = "id of a run, the beginning of one, a plan's name or a path; by default the latest run"


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


def run_and_steps(base: Path, words: list[str]) -> tuple[RunDir, list[str]]:
    """Read ``[RUN] [STEP...]``: the first word is a run if it can mean one, else a step."""
    if words:
        is_path = "/" in words[0] and (Path(words[0]) / "manifest.json").is_file()
        if is_path or index.matching(index.all_runs(base), words[0]):
            return index.find(base, words[0]), words[1:]
    return index.find(base), words


def show_progress(done: int, count: int) -> None:
    """Submitted jobs: each on a terminal, else every hundred."""
    if sys.stderr.isatty() and count > 1:
        end = "\n" if done == count else ""
        print(f"\rsubmitted {done} of {count} job(s)", end=end, file=sys.stderr, flush=True)
    elif done % 100 == 0 and done < count:
        print(f"submitted {done} of {count} job(s)", file=sys.stderr, flush=True)
