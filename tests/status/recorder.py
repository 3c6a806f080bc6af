"""A pytest plugin that records the evidence of every decision about a step's state.

::

    python -m pytest -p tests.status.recorder --record-evidence rows.jsonl tests/slurm tests/local
    python -m tests.status.recorder rows.jsonl > tests/status/evidence.json

The first adds a line for each piece of evidence that the tests' runs left, with what `decide` made
of it and the test that it came from; the second leaves one row of a kind. test_recorded.py checks
the table against them without Slurm. Ids, times, hosts and folders are replaced: they decide
nothing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from planit.status import decide as table
from planit.status import run_status as room
from planit.status.decide import LOST_AFTER_S, Verdict, decide
from planit.status.evidence import Evidence
from tests.status.rows import Row, as_row

FILE = "PLANIT_TESTS_RECORD_EVIDENCE"
_HOOK = Path(__file__).parent / "hook"  # tells Python to record in a process of the command line
_OWN = (
    (re.compile(r"/[^\s'\":;,]*/[^\s'\":;,]*"), "/folder/file"),
    (re.compile(r"\b\d{8}-\d{6}-\d{3}-[0-9a-f]{4}\b"), "run-id"),
    (re.compile(r"\b(job|id|process|pid) \d+(_\d+)?"), r"\1 12"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-evidence", metavar="FILE", help="add what decided states to FILE")


def pytest_configure(config: pytest.Config) -> None:
    if path := config.getoption("--record-evidence"):
        os.environ[FILE] = os.path.abspath(path)
        record_to(os.environ[FILE])
        _hook_command_lines()


def record_to(path: str) -> None:
    """Add a line to a file for each decision of this process."""
    lines: set[str] = set()

    def recording(evidence: Evidence) -> Verdict:
        verdict = decide(evidence)
        line = json.dumps(anonymous(as_row(evidence, verdict)), ensure_ascii=False)
        if line not in lines:
            lines.add(line)
            test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps({**json.loads(line), "test": test}) + "\n")
        return verdict

    pytest.MonkeyPatch().setattr(room, "decide", recording)


def _hook_command_lines() -> None:
    start = subprocess.Popen.__init__

    def hooked(self: Any, args: Any, *rest: Any, **options: Any) -> None:
        if isinstance(args, list) and "planit" in args:
            env = dict(options.get("env") or os.environ)
            env["PYTHONPATH"] = os.pathsep.join([str(_HOOK), env.get("PYTHONPATH", "")])
            options["env"] = env
        start(self, args, *rest, **options)

    subprocess.Popen.__init__ = hooked  # type: ignore[method-assign]


def anonymous(value: Any, key: str = "") -> Any:
    """A row without what differs from run to run."""
    if isinstance(value, Mapping):
        return {name: anonymous(own, name) for name, own in value.items()}
    if isinstance(value, str):
        for pattern, instead in _OWN:
            value = pattern.sub(instead, value)
        return value
    if key == "missing_s" and value:
        return LOST_AFTER_S if value >= table.LOST_AFTER_S else 1.0  # a test may shorten it
    if key == "starts":
        return min(value, 2)
    return value


def distinct(lines: list[str]) -> list[Row]:
    """One row of a kind, by all that is evident but the words of an error."""
    rows: dict[str, Row] = {}
    for line in sorted(lines):
        row = json.loads(line)
        kind = json.loads(json.dumps(row["evidence"]))
        kind.get("end", {}).get("error", {}).pop("message", None)
        rows.setdefault(json.dumps([row["state"], kind], sort_keys=True), row)
    return sorted(rows.values(), key=lambda row: (row["state"], str(row["cause"]), row["test"]))


if __name__ == "__main__":
    recorded = "".join(Path(path).read_text(encoding="utf-8") for path in sys.argv[1:])
    found = distinct(recorded.splitlines())
    print("[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in found) + "\n]")
