"""A user's project in a folder, planit as processes of their own, and what they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.helpers import HERE, Done, planit_here, write
from tests.slurm.tools import until

WORK = Path(__file__).with_name("work.py")
_TOKEN = "PLANIT_TEST_TOKEN"


def chain(*nodes: Any) -> dict[str, Any]:
    return {"_target_": "planit.Chain", "_args_": list(nodes)}


def parallel(*nodes: Any, **more: Any) -> dict[str, Any]:
    return {"_target_": "planit.Parallel", "_args_": list(nodes), **more}


def submit_sweep(folder: Path, plan: str, module: str, lr: str) -> tuple[Project, Done]:
    """A project whose plan p was swept over `lr` and two seeds, and joined by its step compare."""
    project = Project(folder)
    config = "defaults: [slurm@cpu: cpu, backend: local, plan: p, _self_]\nlr: 0\nseed: 0\n"
    write(folder / "conf/config.yaml", config)
    write(folder / "conf/plan/p.yaml", plan)
    write(folder / "mine.py", module)
    words = [f"lr={lr}", "seed=0,1", "sweep.join=[compare]", "sweep.share=false"]
    return project, project.planit("submit", "-m", "cpu.cpus_per_task=1", *words)


@dataclass
class Project:
    """A folder with a plan and a module of step functions; every process in it is marked."""

    folder: Path
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        shutil.copy(WORK, self.folder / "work.py")

    def plan(self, steps: Mapping[str, Mapping[str, Any]], root: Any, name: str = "p") -> None:
        """Write a plan. A step has ``func`` (of work.py), its arguments, and ``slurm``."""
        written = {}
        for step, keys in steps.items():
            more = dict(keys)
            slurm = {"time": "5", "partition": "batch", **more.pop("slurm", {})}
            func = f"work.{more.pop('func', 'note')}"
            arguments = {"slurm_args": {"_target_": "planit.SlurmArgs", **slurm}, "kwargs": more}
            written[step] = {"func": func, **arguments}
        content = {"_target_": "planit.Plan", "name": name, "steps": written, "root": root}
        path = self.folder / "conf" / "plan" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    def environment(self, **more: str) -> dict[str, str]:
        """The variables that mark a process as one of this project."""
        return {**os.environ, _TOKEN: self.token, **more}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """``planit WORDS`` as a process of its own, in a session of its own."""
        python = options.pop("python", sys.executable)
        env = self.environment(PYTHONPATH=HERE, **options.pop("env", {}))
        given = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "start_new_session": True,
            **options,
        }
        command = [python, "-m", "planit", *words]
        return subprocess.Popen(command, cwd=self.folder, env=env, **given)

    def submit(self, *words: str, name: str = "p", **options: Any) -> subprocess.Popen[str]:
        """``planit submit``, not waited for."""
        return self.start("submit", f"plan={name}", "backend=local", *words, **options)

    def planit(self, *words: str, env: Mapping[str, str] | None = None) -> Done:
        """``planit WORDS``, waited for; as a process of its own unless it starts nothing."""
        if words[0] in ("status", "logs", "runs", "cancel") and not env:
            return planit_here(*words, cwd=self.folder)
        return ended(self.start(*words, env=env or {}))

    def lines(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def run_dir(self) -> Path:
        """The newest run's folder."""
        return max(self.folder.glob("planit_runs/*/*"))

    def states(self, *words: str) -> dict[str, str]:
        """The states by ``planit status``."""
        done = self.planit("status", "--json", *words)
        return {step["name"]: step["state"] for step in json.loads(done.out)["steps"]}

    def left(self) -> list[int]:
        """Processes that still run, of all that this project ever started."""
        mark = f"{_TOKEN}={self.token}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):  # a zombie's environment is empty
                    if mark in (entry / "environ").read_bytes():
                        found.append(int(entry.name))
        return found

    def family(self) -> list[int]:
        """A run's guardian, the one below it, and the engine, as far as they are there."""
        ours = [pid for pid in self.left() if b"planit.backends.local" in _command_of(pid)]
        parents = {pid: _parent_of(pid) for pid in ours}
        chain = [pid for pid, parent in parents.items() if parent not in ours][:1]
        while chain and len(chain) < 3:
            below = [pid for pid, parent in parents.items() if parent == chain[-1]]
            if not below:
                break
            chain += below
        return chain[:3]

    def nothing_left(self, seconds: float = 15) -> None:
        until(lambda: not self.left(), seconds)

    def clean(self) -> None:
        for pid in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _parent_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _command_of(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    return b""


def ended(process: subprocess.Popen[str], seconds: float = 60) -> Done:
    """What a process left, when it has ended."""
    out, err = process.communicate(timeout=seconds)
    return Done(process.returncode, out, err)


def wait_for_lines(project: Project, name: str, count: int) -> list[str]:
    until(lambda: len(project.lines(name)) >= count)
    return project.lines(name)


def by_name(rows: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What steps wrote as JSON, by their names."""
    return {row["name"]: row for row in map(json.loads, rows)}
