"""``planit status [RUN]``: the tree with the state of every step."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from planit.app.verbs import command_line
from planit.backends import registry
from planit.backends.base import Client
from planit.errors import SchedulerError
from planit.record import index
from planit.record.run_dir import RunDir
from planit.status.run_status import run_status
from planit.status.states import RunStatus
from planit.views.run_notes import run_notes
from planit.views.run_tree import status_json, status_text

if TYPE_CHECKING:
    from rich.console import Console

_FIRST_PAUSE_S, _LAST_PAUSE_S = 2.0, 60.0


def run(words: list[str]) -> int:
    """Show the states; exit code 4 if the scheduler does not answer."""
    parser = command_line.parser("status", "The tree of a run with the state of every step.")
    parser.add_argument("run", nargs="?", help=command_line.RUN_HELP)
    parser.add_argument("--json", action="store_true", help="print JSON (schema: see the README)")
    parser.add_argument("--watch", action="store_true", help="redraw until every step is final")
    parser.add_argument("--all", action="store_true", help="list every branch of a large Parallel")
    options = parser.parse_args(words)
    found = index.find(options.runs_dir, options.run)
    _ = found.manifest  # first: it tells what is not a run of this planit
    client = registry.of_run(found).client
    if options.watch and not options.json:
        status = _watch(found, client, everything=options.all)
    else:
        status = run_status(found, client)
        if options.json:
            print(json.dumps(status_json(status, str(found.path)), indent=1))
        else:
            _show(_text(found, status, everything=options.all))
    return SchedulerError.exit_code if status.stale else 0


def _text(found: RunDir, status: RunStatus, *, everything: bool) -> str:
    notes = run_notes(found)
    return status_text(status, found.manifest["tree"], everything=everything, notes=notes)


def _show(text: str) -> None:
    if sys.stdout.isatty():
        from planit.views.colors import colored

        _console().print(colored(text))
    else:
        print(text)


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=True, highlight=False)


def _watch(found: RunDir, client: Client, *, everything: bool) -> RunStatus:
    """Redraw with growing pauses, so that many watchers do not load the scheduler."""
    from rich.live import Live

    from planit.views.colors import colored

    pause = _FIRST_PAUSE_S
    with Live(console=_console(), auto_refresh=False, vertical_overflow="visible") as live:
        while True:
            status = run_status(found, client)
            live.update(colored(_text(found, status, everything=everything)), refresh=True)
            if status.is_final or status.incomplete:
                return status
            time.sleep(pause)
            pause = min(_LAST_PAUSE_S, pause * 1.3)
