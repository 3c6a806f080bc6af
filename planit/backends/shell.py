"""The lines of bash by which every backend starts a step between a user's own lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from planit.backends.environment_lines import (
    before_all,
    blocks,
    command_container,
    container_words,
    python_of,
)
from planit.record.task_files import exit_code_in_bash

# planit_run waits for its arguments in a way that lets signals through: what Slurm sends to the
# batch script reaches the step, and the script lives until the step has ended.
WAIT = """\
planit_forward() {
    for planit_signal in TERM INT HUP USR1 USR2; do
        trap "kill -s $planit_signal \\"\\$planit_child\\" 2> /dev/null" "$planit_signal"
    done
}
planit_run() {
    "$@" &
    planit_child=$!
    while wait "$planit_child"; planit_code=$?; [ "$planit_code" -gt 128 ] &&
        kill -0 "$planit_child" 2> /dev/null; do :; done
    return "$planit_code"
}
planit_forward"""


# Which line is at work is noted before each of them, whatever it does: exec, exit, traps ...
_NOTE = """\
planit_note() {
    ((planit_first < $1 && $1 != planit_at)) || return 0
    planit_at=$1
    { echo "at $1" > "$planit_exit"; } 2> /dev/null
}
planit_first=$LINENO planit_at=0
trap 'planit_note "$LINENO"' DEBUG ERR"""
# The user's lines may have set a trap of their own.
_END_NOTES = ["trap - DEBUG", "[[ $(trap -p ERR) != *planit_note* ]] || trap - ERR"]
_FAILED_LINE = (
    r"""awk -v at="${planit_end#at }" '/^# planit: / { field = $3; first = NR } NR == at { """
    r"""sub(/^ +/, ""); print field " line " NR - first ": " $0; exit }' "$0" 2> /dev/null"""
)


def lines_around(command: str, options: Mapping[str, Any], extra: Sequence[str] = ()) -> list[str]:
    """A step between the lines of its environment and the teardown lines.

    planit_code is then its exit code. The lines get a shell of their own (planit_run starts one):
    they may exit, fail and set traps. A line that fails is left in the file for the exit code, as
    "FIELD line NUMBER: TEXT", a tab, and its exit code.

    Args:
        command: starts the step.
        options: submission parameters.
        extra: lines that are run before the command, and are not the user's.
    """
    lines = [line for field, own in blocks(options) for line in (f"# planit: {field}", *own)]
    return [
        f'planit_exit="{exit_code_in_bash()}"',
        'rm -f "$planit_exit"',
        "planit_lines() {",
        "planit_forward",
        *before_all(options),
        "set -e",
        *([_NOTE, *lines, *_END_NOTES] if lines else []),
        *extra,
        "set +e",
        ': > "$planit_exit"',
        f"planit_run {command}",
        'echo $? > "$planit_exit"',
        *(options.get("teardown") or []),
        "}",
        "planit_run planit_lines",
        "planit_code=$?",
        "planit_end=",
        '{ read -r planit_end < "$planit_exit"; } 2> /dev/null',
        'case "$planit_end" in',
        "at*)",
        f"    planit_end=$({_FAILED_LINE})",
        '    echo "planit: ${planit_end:=the setup lines}: exit code $planit_code" >&2',
        '    printf "%s\\t%s\\n" "$planit_end" "$planit_code" > "$planit_exit"',
        '    [ "$planit_code" -ne 0 ] || planit_code=1 ;;',
        "?*)",
        "    planit_code=$planit_end",
        '    rm -f "$planit_exit" ;;',
        "*)",
        '    echo "planit: the lines around the step ended with exit code $planit_code" >&2',
        '    [ "$planit_code" -ne 0 ] || planit_code=1 ;;',
        "esac",
    ]


def script_around(options: Mapping[str, Any], python: str, *, launches: bool) -> str:
    """A script that runs a step between its lines, for who writes its end marker itself.

    Args:
        options: submission parameters.
        python: shell words that start Python where they name none.
        launches: whether the step is a function, and not a command.
    """
    own = python_of(options, python, launches=launches)
    words = [*(container_words(options) if launches else []), own]
    worker = f"{' '.join(words)} -P -u -m planit.job.worker step"
    extra = [] if launches else command_container(options)
    lines = lines_around(worker, options, extra)
    return "\n".join(["#!/bin/bash", WAIT, *lines, 'exit "$planit_code"', ""])
