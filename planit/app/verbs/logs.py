"""``planit logs [RUN] [STEP...]``: what steps wrote."""

from __future__ import annotations

import sys
from pathlib import Path

from planit.app.verbs import command_line
from planit.errors import RunError
from planit.record import history as histories
from planit.record import log_files
from planit.record.history import History, Leaf
from planit.record.run_dir import RunDir
from planit.run import Run
from planit.status.states import State

_TAIL = 20  # lines
_MAX_FAILED = 10


def run(words: list[str]) -> int:
    """Print logs; the ends of the failed steps' if none is named."""
    parser = command_line.parser(
        "logs",
        "What steps wrote; without a step, the ends of the logs of those that failed"
        f" ({_TAIL} lines of each of the first {_MAX_FAILED}; --tail N for more lines).",
    )
    parser.add_argument("words", nargs="*", metavar="[RUN] STEP", help=command_line.STEP_HELP)
    parser.add_argument("--follow", "-f", action="store_true", help="go on until the step ends")
    parser.add_argument(
        "--tail", "-n", type=command_line.count, metavar="N", help="only the last N lines"
    )
    parser.add_argument("--path", action="store_true", help="print where the log is")
    parser.add_argument("--older", action="store_true", help="the logs of earlier jobs too")
    options = parser.parse_args(words)
    found, said = command_line.run_and_steps(options.runs_dir, options.words)
    history = histories.read(found)
    names = command_line.steps_of(found, said)
    opened = Run(found.path)
    chosen = set(names) or _failed(opened)
    if not names and not options.follow and not options.path:
        options.tail = _TAIL if options.tail is None else options.tail
        _show_ends(opened, found, history, chosen, options)
        return 0
    leaves = [leaf for leaf in history.leaves if leaf.name in chosen]
    if options.follow and len(leaves) != 1:
        raise RunError("--follow needs one step", hint="planit logs --follow STEP")
    for leaf in leaves:
        _show(opened, found, history, leaf, options, alone=len(leaves) == 1)
    return 0


def _show_ends(
    opened: Run, found: RunDir, history: History, failed: set[str], options: object
) -> None:
    """The ends of the logs of failed steps, each headed."""
    leaves = [leaf for leaf in history.leaves if leaf.name in failed]
    for leaf in leaves[:_MAX_FAILED]:
        _show(opened, found, history, leaf, options, alone=False)
    if (more := len(leaves) - _MAX_FAILED) > 0:
        print(f"and {more} more failed: planit logs [RUN] STEP")


def _failed(opened: Run) -> set[str]:
    failed = {step.name for step in opened.status().steps if step.state.is_failure}
    if not failed:
        raise RunError(
            f"no step of run {opened.run_id} failed", hint="name one: planit logs [RUN] STEP"
        )
    return failed


def _show(
    opened: Run, found: RunDir, history: History, leaf: Leaf, options: object, *, alone: bool
) -> None:
    files = log_files.log_files(found, history, leaf)
    if getattr(options, "older", False):
        files = [*log_files.older_logs(found, history, leaf), *files]
    if getattr(options, "path", False):
        print("\n".join(str(path) for path in files))
        return
    follow, tail = bool(getattr(options, "follow", False)), getattr(options, "tail", None)
    existing = [path for path in files if path.exists()]
    if not existing and not (follow and files):
        state = opened.status().step(leaf.name)
        why = f": {state.cause}" if state.cause else ""
        if alone:
            raise RunError(f"step {leaf.name!r} has no log: it is {state.state}{why}")
        print(f"--- {leaf.name}: no log, it is {state.state}{why} ---")
        return
    if not alone:
        print(f"--- {leaf.name} ---")
    if follow:
        _follow(opened, leaf, files[0], tail)
        return
    for path in existing:
        if len(existing) > 1:
            print(f"--- {path.name} ---")
        sys.stdout.writelines(log_files.read_tail(path, tail))


def _follow(opened: Run, leaf: Leaf, path: object, tail: int | None) -> None:
    def is_over() -> bool:
        state = opened.status().step(leaf.name).state
        return state.is_final or state is State.HELD

    for text in log_files.follow(Path(str(path)), is_over, tail):
        sys.stdout.write(text)
        sys.stdout.flush()
