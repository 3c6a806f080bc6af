"""The place of one case: its folder, its tools on PATH, its processes, its jobs in the queue."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import plans, steps
from tests.faults.results import Violation
from tests.helpers import HERE, Done

_ENDED = ("COMPLETED", "COMPLETING", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED")
RECORD_WAIT_S = 3
_VERB_S = 180.0


@dataclass
class Place:
    """Everything of a case is below `folder`; `base` is the environment that reaches the Slurm.

    Attributes:
        timeout_s: for how long planit lets a Slurm client be silent.
    """

    folder: Path
    base: Mapping[str, str]
    timeout_s: float = 60.0
    spec: plans.Spec = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.bin.mkdir(parents=True)
        self.folder.chmod(0o755)

    @property
    def bin(self) -> Path:
        return self.folder / "bin"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def lines(self) -> list[steps.Line]:
        return list(steps.read(self.log))

    def describe(self, spec: plans.Spec) -> None:
        """Choose the plan that `submit` submits."""
        self.spec = spec
        (self.folder / "spec.json").write_text(json.dumps(spec))

    @property
    def env(self) -> dict[str, str]:
        """What planit's own processes, and so the jobs, get."""
        return {
            **self.base,
            "PATH": f"{self.bin}{os.pathsep}{self.base['PATH']}",
            "PYTHONPATH": HERE,
            "PLANIT_RECORD_WAIT_S": str(RECORD_WAIT_S),
            "FAULTS_TIMEOUT_S": str(self.timeout_s),
        }

    def wrap(self, tool: str, text: str) -> None:
        """Put a shell script in a tool's place; `real` in it calls the tool."""
        real = shutil.which(tool, path=self.base["PATH"])
        script = self.bin / f".{tool}"
        script.write_text(f'#!/bin/bash\nD="{self.folder}"\nreal() {{ {real} "$@"; }}\n{text}\n')
        script.chmod(0o755)
        script.rename(self.bin / tool)

    def unwrap(self, *tools: str) -> None:
        """Put the real tools back."""
        for tool in tools or [path.name for path in self.bin.iterdir()]:
            (self.bin / tool).unlink(missing_ok=True)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start ``drive`` with these words, and return when its work begins."""
        ready = self.folder / f".ready{time.monotonic_ns()}"
        out = self.folder / f"out{len(list(self.folder.glob('out*')))}-{words[0]}"
        with out.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.faults.drive", *words],
                cwd=self.folder,
                env={**self.env, "FAULTS_READY": str(ready), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        wait_until(lambda: ready.exists() or process.poll() is not None, 60, "the driver starts")
        process.args = [str(out), *words]
        return process

    def finish(self, process: subprocess.Popen[str]) -> Done:
        """Wait for a started one."""
        assert isinstance(process.args, list)
        try:
            code = process.wait(_VERB_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"{process.args[1]} took over {_VERB_S:g} s") from None
        text = Path(str(process.args[0])).read_text()
        if re.search(r"^Traceback", text, re.MULTILINE) and "KeyboardInterrupt" not in text:
            raise AssertionError(f"{process.args[1]} crashed: {text.strip().splitlines()[-1]}")
        return Done(code, text, text)

    def kill(self, process: subprocess.Popen[str], how: signal.Signals, after_s: float) -> bool:
        """Send a signal some time from now; whether it still ran."""
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.send_signal(how)
            self.reap(process)
            return True
        return False

    @staticmethod
    def reap(process: subprocess.Popen[str]) -> None:
        try:
            process.wait(_VERB_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def submit(self) -> Done:
        return self.finish(self.start("submit", str(self.folder)))

    def verb(self, verb: str, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """A verb of planit on the runs of this case."""
        words = (verb, "--runs-dir", str(self.runs), *words)
        return self.finish(self.start(*words, env=env))

    def status(self, env: Mapping[str, str] | None = None) -> dict[str, Any]:
        """What ``planit status --json`` prints; {} if it prints none."""
        done = self.verb("status", "--json", env=env)
        start = done.out.find("{")
        if start < 0:
            return {}
        shown: dict[str, Any] = json.JSONDecoder().raw_decode(done.out[start:])[0]
        return shown

    def states(self) -> dict[str, str]:
        """The state of each step, by name."""
        return {step["name"]: step["state"] for step in self.status().get("steps", [])}

    def slurm(self, *command: str) -> str:
        """What a real Slurm client prints, whatever stands in its place for planit."""
        for _ in range(5):
            done = subprocess.run(
                command, env=dict(self.base), capture_output=True, text=True, check=False
            )
            if done.returncode == 0:
                return done.stdout
            time.sleep(1)
        raise AssertionError(f"{' '.join(command)}: {done.stderr}")

    def queue(self) -> dict[str, str]:
        """The live jobs of this case's runs: state by id and tag."""
        ids = [path.name for path in self.runs.glob("*/*")]
        shown = [line.split("|") for line in
                 self.slurm("squeue", "-h", "-o", "%i|%T|%k").splitlines()]  # fmt: skip
        return {
            f"{job} ({comment})": state
            for job, state, comment in shown
            if state not in _ENDED and any(f"planit:{run}:" in comment for run in ids)
        }

    def strays(self, seconds: float = 8.0) -> Sequence[Violation]:
        """What is left in the queue, after a moment in which it may still leave."""
        until = time.monotonic() + seconds
        while (left := self.queue()) and time.monotonic() < until:
            time.sleep(0.5)
        return [Violation("stray", f"{job} is {state}") for job, state in sorted(left.items())]

    def clear(self) -> None:
        """Leave nothing of this case behind, whatever planit thinks of it."""
        self.unwrap()
        jobs = {job.split()[0].split("_")[0] for job in self.queue()}
        if jobs:
            subprocess.run(["scancel", *sorted(jobs)], env=dict(self.base), check=False)

    def wait_for_ends(self, wanted: Sequence[str], seconds: float = 90.0) -> None:
        """Until all these steps have written "end"; raises nothing if they do not."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if {line.name for line in self.lines if line.what == "end"} >= set(wanted):
                return
            time.sleep(0.3)

    def run_to_end(self, seconds: float = 90.0) -> dict[str, str]:
        """Wait until planit says that all is final; the states."""
        self.wait_for_ends(plans.names(self.spec), seconds)
        until = time.monotonic() + 20
        while not (shown := self.status()).get("final") and time.monotonic() < until:
            time.sleep(1)
        return {step["name"]: step["state"] for step in shown.get("steps", [])}


def wait_until(done: Callable[[], object], seconds: float, what: str) -> None:
    """Poll until it holds."""
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
