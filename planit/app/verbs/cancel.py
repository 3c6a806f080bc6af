"""``planit cancel [RUN] [STEP...]``: cancel what is not final."""

from __future__ import annotations

from planit.app.verbs import command_line
from planit.run import Run


def run(words: list[str]) -> int:
    """Cancel and say what was done."""
    parser = command_line.parser(
        "cancel", "Cancel steps and everything behind them; without a step, the whole run."
    )
    parser.add_argument("words", nargs="*", metavar="[RUN] [STEP]", help=command_line.STEP_HELP)
    options = parser.parse_args(words)
    found, said = command_line.run_and_steps(options.runs_dir, options.words)
    names = command_line.steps_of(found, said)
    done = Run(found.path).cancel(*names)
    if done.cleared:
        print(f"Cleared an incomplete submission of run {found.run_id}: {_listed(done.cleared)}")
    if done.strays:
        jobs = _listed(tuple(map(str, done.strays)))
        print(f"Cancelled job(s) that were not in the record of run {found.run_id}: {jobs}")
    if done.steps:
        print(f"Cancelled {len(done.steps)} step(s) of run {found.run_id}: {_listed(done.steps)}")
    elif not done.cleared and not done.strays:
        print(f"Nothing to cancel in run {found.run_id}")
    if done.ended and names:
        print(f"Skipped: not in the queue: {_listed(done.ended)}")
    return 0


def _listed(names: tuple[str, ...], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
