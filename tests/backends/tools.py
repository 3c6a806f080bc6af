"""Slurm's command line tools as small scripts on PATH, which print what a test recorded."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

QUEUE = "ARRAY_JOB_ID|ARRAY_TASK_ID|JOBID|STATE|TIME|NODELIST|REASON|COMMENT\n"
ACCOUNT = "JobID|State|ElapsedRaw|NodeList|Start\n"
CONFIG = "Configuration data as of 2026-11-28T00:00:00\n"
DOWN = "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n"
UNKNOWN = "squeue: error: No cluster 'beta' known by database.\n"

_TOOL = """#!/bin/bash
cd "${0%/*}"; tool=${0##*/}
echo "$*" >> $tool.calls
umask > $tool.umask
PATH=/usr/bin:/bin
env > $tool.env
count=$(wc -l < $tool.calls)
for answer in $tool.$count $tool; do
    if [ -e $answer.out ]; then
        cat $answer.out
        cat $answer.err >&2
        sleep $(cat $answer.wait)
        exit $(cat $answer.code)
    fi
done
"""


@dataclass
class Tools:
    """The scripts; one that was told nothing prints nothing and succeeds."""

    folder: Path

    def make(self, *names: str) -> None:
        for name in names:
            script = self.folder / name
            script.write_text(_TOOL)
            script.chmod(0o755)

    def answer(
        self, tool: str, out: str = "", err: str = "", code: int = 0, *, call: int | None = None,
        wait_s: float = 0,
    ) -> None:  # fmt: skip
        """What a tool prints at each call, or at one of them (1 is the first)."""
        name = tool if call is None else f"{tool}.{call}"
        parts = {"out": out, "err": err, "code": str(code), "wait": str(wait_s)}
        for suffix, text in reversed(parts.items()):
            (self.folder / f"{name}.{suffix}").write_text(text)

    def calls(self, tool: str) -> list[str]:
        """The arguments of each call."""
        path = self.folder / f"{tool}.calls"
        return path.read_text().splitlines() if path.exists() else []

    def seen(self, tool: str, what: str) -> str:
        """What its last call saw: "env" or "umask"."""
        return (self.folder / f"{tool}.{what}").read_text()


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tools:
    folder = tmp_path / "tools"
    folder.mkdir()
    made = Tools(folder)
    made.make("sbatch", "squeue", "sacct", "scancel", "scontrol", "sacctmgr")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return made


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses of the code, none of which is made; subprocess itself makes tiny ones."""
    found: list[float] = []
    sleep = time.sleep
    monkeypatch.setattr("time.sleep", lambda s: found.append(s) if s > 0.1 else sleep(s))
    return found


def job(
    key: str, state: str, reason: str = "None", comment: str = "", elapsed: str = "0:00"
) -> str:
    """A line of squeue."""
    base, _, index = key.partition("_")
    return f"{base}|{index or 'N/A'}|{key}|{state}|{elapsed}|n1|{reason}|{comment}\n"
