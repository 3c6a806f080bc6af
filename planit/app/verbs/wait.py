"""``planit wait [RUN]``: block until every step is final."""

from __future__ import annotations

from planit.app.verbs import command_line
from planit.app.waiting import wait_for
from planit.record import index
from planit.run import Run


def run(words: list[str]) -> int:
    """Wait; exit code 0 only if every step succeeded. Ctrl-C leaves the jobs alone."""
    parser = command_line.parser(
        "wait",
        "Block until every step is final, or none that is left can start by itself; exit code 0"
        " only if all succeeded. Ctrl-C stops the waiting and leaves the jobs alone.",
    )
    parser.add_argument("run", nargs="?", help=command_line.RUN_HELP)
    options = parser.parse_args(words)
    found = index.find(options.runs_dir, options.run)
    return wait_for(Run(found.path))
