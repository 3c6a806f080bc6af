"""The processes of steps: forked from the warm engine, or started as fresh interpreters."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import NoReturn

from planit.backends.local.descendants import adopt_orphans, die_with_parent


def fork_step(environment: Mapping[str, str], log: int, private: list[int]) -> int:
    """Run planit's worker in a fork of this process; its pid.

    Args:
        environment: variables of the step, on top of this process's.
        log: descriptor that its output goes to.
        private: file descriptors that the step must not keep open.

    Raises:
        OSError: no more processes can be started.
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


def _become_step(environment: Mapping[str, str], log: int, private: list[int]) -> None:
    os.setsid()
    die_with_parent()
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signal.set_wakeup_fd(-1)
    for descriptor in private:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(line_buffering=True)
    os.environ.update(environment)
    numpy_random = sys.modules.get("numpy.random")  # unlike random, it does not do so by itself
    if numpy_random is not None:
        numpy_random.seed()


def spawn_step(environment: Mapping[str, str], log: int, command: list[str]) -> int:
    """Run a command (bash with the step's script, or a fresh worker); its pid.

    Raises:
        OSError: there is no such program, or no more processes can be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
        start_new_session=True,
        preexec_fn=_prepare_spawned,
    )
    process.returncode = 0  # the engine reaps it: Popen must not try
    return process.pid


def _prepare_spawned() -> None:
    die_with_parent()
    adopt_orphans()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # a warning must not end what is still starting
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def signal_group(pid: int, number: int) -> None:
    """Send a signal to a step's whole process group, if it is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)
