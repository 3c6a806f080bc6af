"""``planit runs``: all runs, the newest first, with counts by state."""

from __future__ import annotations

from collections.abc import Hashable

from planit.app.verbs import command_line
from planit.backends import registry
from planit.backends.base import CachedQueue
from planit.errors import PlanitError
from planit.record import index, run_bases
from planit.record.run_dir import RunDir
from planit.status.run_status import run_status
from planit.status.states import printable
from planit.views.run_tree import counts_text


def run(words: list[str]) -> int:
    """List the runs."""
    parser = command_line.parser("runs", "The runs, the newest first, with counts by state.")
    parser.add_argument(
        "-n", type=command_line.count, default=20, metavar="N", help="at most N runs (default 20)"
    )
    parser.where.add_argument(
        "--all", action="store_true",
        help="every run of yours, wherever it was submitted from, with the folder that it is in",
    )  # fmt: skip
    options = parser.parse_args(words)
    clients: dict[Hashable, CachedQueue] = {}
    runs = _all() if options.all else index.all_runs(*options.runs_dir)
    for one in runs[: options.n]:
        where = f"  {one.path.parents[1]}" if options.all else ""
        try:
            client = registry.of_run(one).client
            status = run_status(one, clients.setdefault(client.source, CachedQueue(client)))
        except PlanitError as error:
            line = f"{one.run_id}  {one.path.parent.name}  unreadable: {error.message}"
            print(printable(line + where))
            continue
        told = {"incomplete": status.incomplete, "stale": status.stale, "stuck": status.is_stuck}
        notes = [word for word, holds in told.items() if holds]
        shown = f" ({', '.join(notes)})" if notes else ""
        print(printable(f"{one.run_id}  {status.plan}  {counts_text(status.counts)}{shown}{where}"))
    if not runs:
        where = "any folder" if options.all else index.places(options.runs_dir)
        print(printable(f"No runs in {where}"))
    elif len(runs) > options.n:
        print(f"and {len(runs) - options.n} older (-n N shows more)")
    return 0


def _all() -> list[RunDir]:
    return [one for one in index.all_runs(*run_bases.every()) if index.is_mine(one)]
