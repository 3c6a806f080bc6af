"""The processes of steps: forked from the warm engine, or started as fresh interpreters."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from planit.backends.local.events import ENGINE_MARK

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork, which would pay for it
_BETWEEN_KILLS_S = 0.02


def fork_step(environment: Mapping[str, str], log: Path, private: list[int]) -> int:
    """Run planit's worker in a fork of this process; its pid.

    Args:
        environment: variables of the step, on top of this process's.
        log: file that its output is appended to.
        private: file descriptors that the step must not keep open.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become_step(environment, log, private)
        from planit.job import worker

        code = worker.main(["step"])
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        _leave(code)


def _leave(code: int) -> NoReturn:
    """End as an interpreter ends: wait for threads, run what was registered with atexit."""
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 (multiprocessing does)
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _become_step(environment: Mapping[str, str], log: Path, private: list[int]) -> None:
    os.setsid()
    die_with_parent()
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.set_wakeup_fd(-1)
    for descriptor in private:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (handle, 1), (handle, 2)):
        os.dup2(source, target)
    os.close(handle)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    os.environ.update(environment)
    numpy_random = sys.modules.get("numpy.random")  # unlike random, it does not do so by itself
    if numpy_random is not None:
        numpy_random.seed()


def spawn_step(environment: Mapping[str, str], log: Path, command: list[str]) -> int:
    """Run a command (bash with the step's script, or a fresh worker); its pid."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
            preexec_fn=_prepare_spawned,
        )
    process.returncode = 0  # the engine reaps it: Popen must not try
    return process.pid


def _prepare_spawned() -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # a warning must not end what is still starting
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with_parent() -> None:
    """Let Linux kill this process when its parent dies (prctl manual, "PR_SET_PDEATHSIG")."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a step's whole process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def kill_all_of(mark: str, but: int) -> int:
    """Kill every process of a submission's steps, those too that left their group; how many.

    They are known by the variable that the engine was started with: Linux shows a fork with the
    environment of the program that it is a fork of.
    """
    wanted = f"{ENGINE_MARK}={mark}".encode()
    killed = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in (os.getpid(), but):
            continue
        with contextlib.suppress(OSError):
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                killed += 1
    return killed


def start_guardian(mark: str) -> int:
    """Fork a process that kills the steps when this one dies; the descriptor that it watches.

    It reads from a pipe that only this process holds open, so it wakes however this process ends.
    """
    reader, writer = os.pipe()
    engine = os.getpid()
    if os.fork():
        os.close(reader)
        return writer
    os.setsid()
    os.close(writer)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        os.read(reader, 1)
    while kill_all_of(mark, engine):
        time.sleep(_BETWEEN_KILLS_S)
    os._exit(0)
