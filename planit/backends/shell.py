"""The lines of bash by which every backend starts a step between a user's own lines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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


def lines_around(command: str, options: Mapping[str, Any]) -> list[str]:
    """A step between the user's setup and teardown lines; planit_code is then its exit code.

    The lines get a shell of their own (planit_run starts one): they may exit, fail and set traps.

    Args:
        command: starts the step.
        options: submission parameters, of which "setup" and "teardown" are taken.
    """
    return [
        f'planit_exit="{exit_code_in_bash()}"',
        'rm -f "$planit_exit"',
        "planit_lines() {",
        "planit_forward",
        "set -e",
        *(options.get("setup") or []),
        "set +e",
        f"planit_run {command}",
        'echo $? > "$planit_exit"',
        *(options.get("teardown") or []),
        "}",
        "planit_run planit_lines",
        "planit_code=$?",
        'if [ -s "$planit_exit" ]; then',
        '    planit_code=$(cat "$planit_exit")',
        '    rm -f "$planit_exit"',
        "else",
        '    echo "planit: the setup lines ended with exit code $planit_code before the step" >&2',
        '    [ "$planit_code" -ne 0 ] || planit_code=1',
        "fi",
    ]


def script_around(worker: str, options: Mapping[str, Any]) -> str:
    """A script that runs a step between the user's lines, for who writes its end marker itself."""
    lines = lines_around(worker, options)
    return "\n".join(["#!/bin/bash", WAIT, *lines, 'exit "$planit_code"', ""])
