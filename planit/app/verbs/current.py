"""``planit current [--json]``: where the step stands whose process runs this."""

from __future__ import annotations

import json

from planit.app.verbs.command_line import Parser
from planit.job.standing import current
from planit.views.current_step import current_text


def run(words: list[str]) -> int:
    """Print it; outside of a step an error."""
    parser = Parser(
        prog="planit current",
        description="Inside a step, such as in the script of a Command: its plan, run directory,"
        " name, folder, attempt, swept values and parents.",
    )
    parser.add_argument("--json", action="store_true", help="as JSON, with the parents' results")
    options = parser.parse_args(words)
    step = current()
    print(json.dumps(step.as_json()) if options.json else current_text(step))
    return 0
