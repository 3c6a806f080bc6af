"""Loads a plan's pickled calls in a fresh interpreter, as its jobs will: one process for all.

What a call refers to by name may be importable here only because of what this process has done
before: a changed sys.path, a module made by hand.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from planit.errors import PlanError, text_of
from planit.job import payload
from planit.record.call_file import CallFile, PickledCalls

_TIMEOUT_S = 600  # what the calls import may come from a slow file system
_CALLS, _ANSWER = "calls", "answer"
_HINT = "python is started anew in the job: what a step needs must be importable there"


def not_loaded(pickled: PickledCalls) -> dict[int, PlanError]:
    """What is wrong with the calls that a fresh interpreter cannot load, by their number.

    Of calls behind one that ends the interpreter itself nothing is known.
    """
    if not pickled.calls:
        return {}
    with TemporaryDirectory(prefix="planit-") as folder:
        pickled.write(Path(folder, _CALLS))
        paths = [os.path.abspath(entry or ".") for entry in sys.path]  # as the job's
        code = f"import sys; sys.path += [one for one in {paths!r} if one not in sys.path]\n"
        code += f"from {__name__} import main; main({folder!r})"
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            how = f"does not load it within {_TIMEOUT_S} s"
        else:
            lines = done.stderr.decode(errors="replace").split("\n")
            last = next((line.strip() for line in reversed(lines) if line.strip()), "")
            how = f"ends with code {done.returncode} as it loads it" + (last and f": {last}")
        return _answer(Path(folder, _ANSWER), len(pickled.calls), how)


def _answer(path: Path, count: int, how: str) -> dict[int, PlanError]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    whys = [json.loads(line) for line in lines if line.endswith(('"', "null"))]
    found = {
        number: PlanError(f"its call cannot be loaded in a fresh interpreter: {why}", hint=_HINT)
        for number, why in enumerate(whys)
        if why is not None
    }
    if len(whys) < count:
        found[len(whys)] = PlanError(f"a fresh interpreter {how}", hint=_HINT)
    return found


def main(folder: str) -> None:
    """Load the calls in a folder; a line for each says what it failed with."""
    with (
        Path(folder, _CALLS).open("rb") as file,
        Path(folder, _ANSWER).open("w", encoding="utf-8", buffering=1) as answer,
    ):
        calls = CallFile(file)
        parts: dict[bytes, object] = {}
        whys = (_why_not(calls, number, parts) for number in range(calls.count))
        answer.writelines(json.dumps(why) + "\n" for why in whys)


def _why_not(calls: CallFile, number: int, parts: dict[bytes, object]) -> str | None:
    try:
        payload.unpickled(calls, number, parts)
    except Exception as error:
        return f"{type(error).__name__}: {text_of(error)}"
    return None
