"""The odd ends of a step: what it does, and whether it may count as done.

A step is done if its function returned, or left with 0 as Python counts, and its process then
ended with 0. Whatever ends it otherwise is no success, also if the exit code is 0.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from tests.faults.steps import birth, line

ALL, REAL, SLURM = ("slurm", "local", "debug"), ("slurm", "local"), ("slurm",)
_GOES_ON_S = 3.0


@dataclass(frozen=True)
class End:
    """One odd end.

    Attributes:
        done: whether the step must count as done; None if either will do, the same everywhere.
        act: what its function does, told a folder for its files.
        on: the backends where it makes sense.
        args: submission parameters, in submitit's names.
        command: a shell command instead of `act`.
        files: files beside the user's script, by name.
        forges: whether it writes planit's own files, so that only the end of it counts.
        many: how many ranks or attempts may begin.
    """

    name: str
    done: bool | None
    act: Callable[[Path], object] = lambda folder: None
    on: tuple[str, ...] = ALL
    args: Mapping[str, Any] = field(default_factory=dict)
    command: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    forges: bool = False
    many: int = 1


def began(folder: Path, file: str = "pids") -> None:
    """Write down that a process of the step runs."""
    line(folder / file, f"{os.getpid()} {birth(os.getpid())}")


def run(name: str, folder: str) -> object:
    """The function of every odd step."""
    began(Path(folder))
    return ENDS[name].act(Path(folder))


def behind(folder: str) -> None:
    """The step behind it."""
    line(Path(folder, "behind"), "ran")


class Saves:
    """A step that can checkpoint, and leaves with the exit code of one that has done it."""

    def __call__(self, name: str, folder: str) -> NoReturn:
        began(Path(folder))
        sys.exit(-1)

    def checkpoint(self, *args: Any) -> Any:
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *args)


def _raise(problem: BaseException) -> NoReturn:
    raise problem


def _kill(number: int) -> Callable[[Path], None]:
    def act(folder: Path) -> None:
        os.kill(os.getpid(), number)
        time.sleep(20)

    return act


def _fork(child: Callable[[], object], parent: Callable[[], object] = lambda: None) -> Any:
    """The child goes its own way through planit's code, while the parent goes on for a while."""

    def act(folder: Path) -> object:
        if os.fork() == 0:
            return child()
        time.sleep(_GOES_ON_S)
        return parent()

    return act


def _stopped(folder: Path) -> None:
    """Stopped, and sent on by a child after a while."""
    pid = os.getpid()
    if os.fork() == 0:
        time.sleep(_GOES_ON_S)
        os.kill(pid, signal.SIGCONT)
        os._exit(0)
    os.kill(pid, signal.SIGSTOP)


def _thread(act: Callable[[], object], daemon: bool = False) -> Callable[[Path], None]:
    return lambda folder: threading.Thread(target=act, daemon=daemon).start()


def _exit_from_thread(folder: Path) -> None:
    threading.Thread(target=os._exit, args=(0,)).start()
    time.sleep(20)


def _at_exit(act: Callable[..., object], *args: object) -> Callable[[Path], object]:
    return lambda folder: atexit.register(act, *args)


def _in_deleted_folder(folder: Path) -> None:
    gone = Path(tempfile.mkdtemp(dir=folder))
    os.chdir(gone)
    gone.rmdir()


def _forge(folder: Path) -> NoReturn:
    """Write a marker of success in the place where planit's own will be."""
    here = Path(os.environ["PLANIT_STEP_DIR"])
    for start in here.glob("start*"):
        content = json.loads(start.read_text()) if start.suffix == ".json" else {}
        content |= {"outcome": "succeeded", "exit_code": 0, "ended": time.time(), "elapsed_s": 0.1}
        (here / start.name.replace("start", "end")).write_text(json.dumps(content))
    raise ValueError("failed all the same")


def _forge_and_exit(folder: Path) -> NoReturn:
    try:
        _forge(folder)
    finally:
        os._exit(0)


def _leave_behind(folder: Path) -> None:
    """A child in a session of its own, without any variable of the step's."""
    sleep = "import os, sys, time; sys.path[:0] = [{!r}]\n{}time.sleep(25)"
    text = "from pathlib import Path\nfrom tests.faults.odd import began\n"
    text += f"began(Path({str(folder)!r}), 'left')\n"
    code = sleep.format(str(Path(__file__).parents[2]), text)
    command = ["env", "-i", "setsid", sys.executable, "-c", code]
    subprocess.Popen(command, stdout=-3, stderr=-3, stdin=-3)
    while not (folder / "left").exists():
        time.sleep(0.05)


def _stopped_child(folder: Path) -> None:
    if os.fork() == 0:
        began(folder, "left")
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    while not (folder / "left").exists():
        time.sleep(0.05)


def _one_rank_leaves(folder: Path) -> None:
    if os.environ["SLURM_PROCID"] == "1":
        os._exit(0)
    time.sleep(1)


def _fails_once(folder: Path) -> None:
    if len((folder / "pids").read_text().splitlines()) == 1:
        raise ValueError("the first time")
    time.sleep(_GOES_ON_S)


def _recursion(depth: int = 0) -> int:
    return _recursion(depth + 1) + 1


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class _Base(BaseException):
    pass


_PLANTED = "import os\nopen(os.environ.get('PLANTED', {!r}), 'a').write('ran\\n')\n{}"


def _planted(module: str, then: str) -> End:
    return End(f"{module}.py beside the script, {then or 'empty'}", True, on=REAL,
               files={f"{module}.py": _PLANTED.format("planted", then)})  # fmt: skip


_LIST = [
    End("sys.exit(0)", True, lambda _: sys.exit(0)),
    End("sys.exit()", True, lambda _: sys.exit()),
    End("sys.exit(False)", True, lambda _: sys.exit(False)),
    End("sys.exit(1)", False, lambda _: sys.exit(1)),
    End("sys.exit(text)", False, lambda _: sys.exit("text")),
    End("sys.exit(256)", False, lambda _: sys.exit(256)),
    End("sys.exit(-1)", False, lambda _: sys.exit(-1)),
    End("os._exit(0)", False, lambda _: os._exit(0), REAL),
    End("os._exit(3)", False, lambda _: os._exit(3), REAL),
    End("exec true", False, lambda _: os.execlp("true", "true"), REAL),
    End("exec false", False, lambda _: os.execlp("false", "false"), REAL),
    End("kill -9", False, _kill(signal.SIGKILL), REAL),
    End("kill -TERM", False, _kill(signal.SIGTERM), REAL),
    End("kill -INT", False, _kill(signal.SIGINT), REAL),
    End("kill -HUP", False, _kill(signal.SIGHUP), REAL),
    End("kill -STOP, and on", True, _stopped, REAL),
    End("segmentation fault", False, lambda _: ctypes.string_at(0), REAL),
    End("abort", False, lambda _: os.abort(), REAL),
    End("a fork returns", True, _fork(lambda: None), REAL),
    End("a fork returns, its parent fails", False,
        _fork(lambda: None, lambda: _raise(ValueError("late"))), REAL),
    End("a fork fails", True, _fork(lambda: _raise(ValueError("fork"))), REAL),
    End("a fork leaves with 0, its parent fails", False,
        _fork(lambda: sys.exit(0), lambda: sys.exit(4)), REAL),
    End("a fork leaves with 3", True, _fork(lambda: sys.exit(3)), REAL),
    End("a thread hangs", True, _thread(lambda: time.sleep(_GOES_ON_S)), REAL),
    End("a daemon thread hangs", True, _thread(lambda: time.sleep(30), daemon=True)),
    End("a thread raises SystemExit(0)", True, _thread(lambda: sys.exit(0))),
    End("a thread calls os._exit(0)", False, _exit_from_thread, REAL),
    End("atexit raises", True, _at_exit(_raise, ValueError("at exit")), REAL),
    End("atexit calls os._exit(0)", True, _at_exit(os._exit, 0), REAL),
    End("atexit calls os._exit(5)", False, _at_exit(os._exit, 5), REAL),
    End("atexit hangs", True, _at_exit(time.sleep, _GOES_ON_S), REAL),
    End("closes stdout", True, lambda _: sys.stdout.close(), REAL),
    End("closes all files", None, lambda _: os.closerange(0, 4096), REAL),
    End("works in a deleted folder", True, _in_deleted_folder, REAL),
    End("deletes its own folder", None, lambda _: shutil.rmtree(os.environ["PLANIT_STEP_DIR"]),
        REAL, forges=True),
    End("forges its end marker", False, _forge, REAL, forges=True),
    End("forges its end marker, os._exit(0)", False, _forge_and_exit, REAL, forges=True),
    End("leaves a session behind", True, _leave_behind, REAL),
    End("leaves a stopped child", True, _stopped_child, REAL),
    End("returns what cannot be pickled", True, lambda _: threading.Lock()),
    End("returns 50 MB", True, lambda _: b"x" * 50_000_000),
    End("returns a generator", True, lambda _: (i for i in range(3))),
    End("a BaseException", False, lambda _: _raise(_Base("base"))),
    End("an exception without words", False, lambda _: _raise(_Unspeakable())),
    End("RecursionError", False, lambda _: _recursion()),
    End("MemoryError", False, lambda _: b"x" * 2**62),
    End("KeyboardInterrupt", False, lambda _: _raise(KeyboardInterrupt()), REAL),
    _planted("random", "raise SystemExit(0)"),
    _planted("types", "raise SystemExit(0)"),
    _planted("platform", ""),
    _planted("json", "raise SystemExit(0)"),
    _planted("planit", "raise SystemExit(0)"),
    End("setup: exit 0", False, on=REAL, args={"slurm_setup": ["exit 0"]}),
    End("setup: exec true", False, on=REAL, args={"slurm_setup": ["exec true"]}),
    End("setup fails", False, on=REAL, args={"slurm_setup": ["false"]}),
    End("teardown fails", True, on=REAL, args={"slurm_teardown": ["false"]}),
    End("teardown: exit 0 behind a failure", False, lambda _: sys.exit(3), REAL,
        {"slurm_teardown": ["exit 0"]}),
    End("teardown hangs", True, on=REAL, args={"slurm_teardown": [f"sleep {_GOES_ON_S}"]}),
    End("command: exec true", True, command="exec true", on=REAL),
    End("command: exec false", False, command="exec false", on=REAL),
    End("command: kill -9 itself", False, command="kill -9 $$", on=REAL),
    End("command leaves nohup behind", True, on=REAL,
        command='nohup setsid sh -c "echo \\$\\$ > left-pid; exec sleep 25" > /dev/null 2>&1 &'
        " while [ ! -s left-pid ]; do sleep 0.1; done"),
    End("one of two ranks calls os._exit(0)", False, _one_rank_leaves, SLURM,
        {"slurm_ntasks_per_node": 2}, many=2),
    End("sys.exit(-1) of a step that can checkpoint", False, on=REAL,
        args={"max_requeues": 3}),
    End("a failed job is requeued", True, _fails_once, SLURM, many=2),
]  # fmt: skip
ENDS = {end.name: end for end in _LIST}
REQUEUED = "a failed job is requeued"
CHECKPOINTS = "sys.exit(-1) of a step that can checkpoint"
