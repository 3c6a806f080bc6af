"""Lines of bash that would break the script which they stand in are refused before submission."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Mapping
from typing import Any

from planit.errors import PlanError

_TIMEOUT_S = 10.0


def refuse_broken_lines(step: str, options: Mapping[str, Any]) -> None:
    """Raise PlanError if a step's setup or teardown lines are not whole commands of bash."""
    for name in ("setup", "teardown"):
        if problem := _problem("\n".join(options.get(name) or [])):
            raise PlanError(
                f"step {step!r}: {name} {problem}", hint="each of these lines is bash, as a script"
            )


@functools.cache
def _problem(lines: str) -> str:
    """What bash finds wrong, without running anything; nothing where there is no bash."""
    if not lines:
        return ""
    try:
        done = subprocess.run(
            ["bash", "-n"],
            input=lines,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    is_wrong = done.returncode != 0 or "here-document" in done.stderr  # only a warning to bash
    first = done.stderr.strip().partition("\n")[0].removeprefix("bash: ")
    return first if is_wrong else ""
