"""``planit results [RUN] [STEP]``: what the branches of a sweep returned, a row for each."""

from __future__ import annotations

import json
import sys

from planit.app.verbs import command_line
from planit.errors import SchedulerError
from planit.run import Run
from planit.status.result_rows import RunResults, run_results
from planit.status.states import printable
from planit.views.results_table import ResultTable
from planit.views.run_tree import counts_text


def run(words: list[str]) -> int:
    """Print the table; exit code 4 if the scheduler does not answer."""
    parser = command_line.parser(
        "results",
        "What the branches of a sweep returned, a row for each: swept parameters, state, result,"
        " elapsed time. STEP is a step's name, with its branch or without, or a pattern; by default"
        " the last step of the branches of which one has a result, and in a plan without a sweep"
        " every step. Only plain data are shown: numbers, text, booleans, lists and mappings of at"
        " most 64 KB, and"
        " the JSON that a Command wrote to $PLANIT_RESULT.",
    )
    parser.add_argument("words", nargs="*", metavar="[RUN] [STEP]", help=command_line.STEP_HELP)
    parser.add_argument(
        "--sort", action="append", default=[], metavar="[-]COLUMN",
        help="by this column, with - the largest first; what is missing is last",
    )  # fmt: skip
    parser.add_argument(
        "--where", action="append", default=[], metavar="COLUMN=VALUE",
        help="only these rows; compared as text and as a number",
    )  # fmt: skip
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="print CSV, numbers in full")
    form.add_argument("--json", action="store_true", help="print JSON (schema: see the README)")
    options = parser.parse_args(_with_signs(words))
    found, names = command_line.run_and_steps(options.runs_dir, options.words)
    if len(names) > 1:
        parser.error(f"one step is enough, not {' '.join(names)}")
    results = run_results(found, Run(found.path).backend.client, names[0] if names else None)
    table = ResultTable.of(results.rows).where(options.where).sorted(options.sort)
    if options.json:
        print(json.dumps(table.json(results, str(found.path)), indent=1, allow_nan=False))
    elif options.csv:
        print(table.csv())
    else:
        print(_head(results, table))
        print(table.text())
    if pickled := sum(row.is_pickled for row in results.rows):
        print(
            f"{pickled} result(s) are not plain data of at most 64 KB: the jobs' result() has them",
            file=sys.stderr,
        )
    return SchedulerError.exit_code if results.status.stale else 0


def _with_signs(words: list[str]) -> list[str]:
    """``--sort -accuracy`` as one word, for argparse takes what begins with - for an option."""
    made: list[str] = []
    for word in words:
        if made and made[-1] == "--sort" and word.startswith("-"):
            made[-1] = f"--sort={word}"
        else:
            made.append(word)
    return made


def _head(results: RunResults, table: ResultTable) -> str:
    status = results.status
    which = "every step" if results.step is None else f"step {results.step}"
    states = {row.step: row.state for row in results.rows}
    counts = {state: list(states.values()).count(state) for state in set(states.values())}
    some = len(table.rows) < len(results.rows)
    rows = f", {len(table.rows)} of {len(results.rows)} rows" if some else ""
    stale = ", stale: the scheduler does not answer" if status.stale else ""
    line = f"Run {status.run_id} of plan {status.plan}, {which}: {counts_text(counts)}{rows}{stale}"
    return printable(line)
