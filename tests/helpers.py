"""What several test modules use."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from planit import SlurmArgs, Step
from planit.app.main import main
from planit.record import history as histories
from planit.record.markers import EndMarker
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from planit.submit.new import NewRun
from planit.submit.project import Freeze

ROOT = Path(__file__).resolve().parents[1]
HERE = f"{ROOT}{os.pathsep}{ROOT / 'planit' / 'plugins'}"  # this checkout, for other processes
CPU = SlurmArgs(time="01:00:00", partition="batch", cpus_per_task=8)
GPU = SlurmArgs(time="02:00:00", partition="gpu_a100", gpus_per_node=1, cpus_per_gpu=18)


def nothing(*_args: object, **_kwargs: object) -> None:
    """A step's function that does nothing."""


def step(name: str, slurm_args: SlurmArgs = CPU) -> Step:
    return Step(name, nothing, slurm_args)


def freeze_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """New runs freeze no code unless they are asked to: nothing of them is ever started."""
    init = NewRun.__init__

    def without_code(*args: Any, **named: Any) -> None:
        init(*args, **{"freeze": Freeze("off"), **named})

    monkeypatch.setattr(NewRun, "__init__", without_code)


@dataclass(frozen=True)
class Done:
    """What a command line left: exit code and output."""

    code: int
    out: str
    err: str


def run_planit(
    *words: str, cwd: Path, env: Mapping[str, str] | None = None, timeout_s: float = 60
) -> Done:
    """``python -m planit`` as a process of its own, with this checkout's planit and examples."""
    return run_python("-m", "planit", *words, cwd=cwd, env=env, timeout_s=timeout_s)


def planit_here(*words: str, cwd: Path | None = None) -> Done:
    """The command line in this process, which is quicker: for what only reads or composes."""
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.chdir(cwd or Path.cwd()),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(words)
    return Done(code, out.getvalue(), err.getvalue())


def run_python(
    *words: str,
    cwd: Path,
    env: Mapping[str, str | None] | None = None,
    timeout_s: float = 60,
    encoding: str | None = None,
) -> Done:
    """Python as a process of its own; a variable that is None is taken out of its environment."""
    variables = {**os.environ, "PYTHONPATH": HERE, **(env or {})}
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env={name: value for name, value in variables.items() if value is not None},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding=encoding,
        timeout=timeout_s,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def all_below(folder: Path) -> list[str]:
    """Every file and folder, so that a test can say that there is none, or no new one."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def files_of(run_path: Path, step: str) -> TaskFiles:
    """The files of a step's newest job."""
    place = histories.read(RunDir(run_path)).placements[step]
    return TaskFiles(run_path, place.submission, place.stage, place.index or 0)


def end_of(run_path: Path, step: str) -> EndMarker:
    """How the newest attempt of a step's newest job ended."""
    found = files_of(run_path, step).newest_end()
    assert found is not None, f"{step} has not ended"
    return found[1]


def mode_of(path: Path) -> int:
    """The permissions of a file or folder."""
    return stat.S_IMODE(path.lstat().st_mode)


# acl(5): owner, the user nobody, group, mask, others; each may do everything.
_NO_ID = 0xFFFFFFFF
_ACL_TAGS = ((0x01, _NO_ID), (0x02, 65534), (0x04, _NO_ID), (0x10, _NO_ID), (0x20, _NO_ID))


def give_default_acl(folder: Path) -> None:
    """Let what is made in a folder be everybody's to read and write, whatever the umask."""
    give_acl(folder, "default")


def give_acl(folder: Path, kind: str) -> None:
    """Give a folder an "access" or "default" list; skip the test where there are none."""
    entries = b"".join(struct.pack("<HHI", tag, 7, who) for tag, who in _ACL_TAGS)
    try:
        os.setxattr(folder, f"system.posix_acl_{kind}", struct.pack("<I", 2) + entries)
    except OSError as error:
        if error.errno != errno.ENOTSUP or os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no access control lists in {folder}")
