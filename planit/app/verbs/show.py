"""``planit show [RUN] STEP``: everything about one step."""

from __future__ import annotations

import re
from typing import Any

import yaml

from planit.app.verbs import command_line
from planit.errors import RunError, SchedulerError
from planit.graph.step_names import steps_named
from planit.record import history as histories
from planit.run import Run
from planit.status.run_status import run_status
from planit.submit.recorded_calls import composed_text_of
from planit.views.step_page import frozen_step, step_page

_MAX_NAMED = 5
_LAUNCHED = re.compile(r"<\w+>")  # a task function of Hydra's, from hydra/launcher=planit


def run(words: list[str]) -> int:
    """Show the step; exit code 4 if the scheduler does not answer."""
    parser = command_line.parser(
        "show",
        "Everything about one step on one screen: function, arguments and swept values as frozen,"
        " resources asked for and used, attempts and their jobs, parents with their states, script,"
        " log, folder, result or error.",
    )
    parser.add_argument("words", nargs="*", metavar="[RUN] STEP", help=command_line.STEP_HELP)
    parser.add_argument(
        "--config", action="store_true",
        help="print its function (command), arguments and swept values as frozen, as YAML; what is"
        " not plain data, or is longer than 500 characters, by its repr. Of a Hydra program, its"
        " composed configuration",
    )  # fmt: skip
    options = parser.parse_args(words)
    found, said = command_line.run_and_steps(options.runs_dir, options.words)
    if len(said) != 1:
        parser.error("name one step: planit show [RUN] STEP")
    history = histories.read(found)
    leaves = steps_named(history.leaves, said[0])
    if len(leaves) > 1:
        names = ", ".join(leaf.name for leaf in leaves[:_MAX_NAMED])
        more = ", ..." if len(leaves) > _MAX_NAMED else ""
        raise RunError(
            f"{said[0]!r} means {len(leaves)} steps of run {found.run_id}: {names}{more}",
            hint="show takes one; planit results and planit status show many",
        )
    (name,) = command_line.steps_of(found, said)
    (leaf,) = leaves
    if options.config:
        frozen = frozen_step(found, name)
        is_program = "app" in frozen or _LAUNCHED.fullmatch(str(frozen.get("func")))
        print((is_program and composed_text_of(found, name)) or _yaml(frozen), end="")
        return 0
    status = run_status(found, Run(found.path).backend.client, history=history)
    print(step_page(found, history, leaf, status))
    return SchedulerError.exit_code if status.stale else 0


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
