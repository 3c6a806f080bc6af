"""The functions of a user's project; copied into the folder of each test."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from submitit.helpers import DelayedSubmission

VERSION = "as submitted"
STATE: list[str] = []


def add(path: str, text: object) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def note(path: str = "ran", text: str = "") -> None:
    """Say which step this is."""
    add(path, text or os.environ["PLANIT_STEP"])


def nothing() -> None:
    """Nothing."""


def fail() -> None:
    raise ValueError("broken")


def fail_once(path: str) -> None:
    """Fail the first time."""
    first = not Path(path).exists()
    note(path)
    if first:
        raise ValueError("the first time")


def span(seconds: float, path: str = "spans") -> None:
    """Write when it ran, and with which GPUs."""
    start = time.time()
    time.sleep(seconds)
    row = {
        "name": os.environ["PLANIT_STEP"],
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "start": start,
        "end": time.time(),
    }
    add(path, json.dumps(row))


def sleep(seconds: float = 60, path: str = "begun") -> None:
    note(path)
    print("working on it", flush=True)
    time.sleep(seconds)
    note("ran")


def until(flag: str, path: str = "begun") -> None:
    """Run until a file is there."""
    note(path)
    print("waiting for a file", flush=True)
    while not Path(flag).exists():
        time.sleep(0.05)
    note("ran")


def saves_on_sigterm() -> None:
    """Clean up when it is ended."""
    try:
        time.sleep(60)
    finally:
        note("cleaned")


def saves_on_interrupt() -> None:
    """Clean up at Ctrl-C."""
    add("begun", "debug")
    try:
        time.sleep(60)
    finally:
        add("cleaned", "debug")


def main_thread() -> None:
    """Write which thread this is; only the main thread may set signal handlers."""
    add("threads", threading.current_thread().name)
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)


def names_of_threads() -> None:
    """Write which threads there are."""
    add("threads", [thread.name for thread in threading.enumerate()])


def stops() -> None:
    """Have a breakpoint."""
    found = "as written"
    breakpoint()
    add("stopped", found)


def deaf() -> None:
    """Ignore every wish to end it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    note("begun")
    time.sleep(60)


def family() -> None:
    """Have a child in this group, one in a session of its own, and a grandchild that left too."""
    subprocess.Popen(["sleep", "61"])
    subprocess.Popen(["sleep", "62"], start_new_session=True)
    subprocess.Popen(["/bin/sh", "-c", "setsid sleep 63 & trap '' TERM; sleep 64"])
    note("begun")
    time.sleep(60)


SLEEPER = "while :; do sleep 0.1; done"  # a shell with its mark as $0
CHAIN = """
import os, time
end = time.time() + 30  # should nobody end it
while time.time() < end:  # each child forks the next one and ends, in a session of its own
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.01)
"""
CROWD = """
import os, time
end = time.time() + 30
while time.time() < end:  # ever more children, which stay
    if os.fork() == 0:
        os.setsid()
        time.sleep(30)
    time.sleep(0.1)
"""


def leave(mark: str, ways: list[str]) -> None:
    """Leave processes behind, with a mark that shows in their command lines, and end."""
    sleeper, nowhere = ["/bin/sh", "-c", SLEEPER, mark], subprocess.DEVNULL
    commands = {
        "setsid": ["setsid", *sleeper],
        "nohup": ["nohup", *sleeper],
        "no environment": ["env", "-i", "setsid", *sleeper],
        "chain": [sys.executable, "-S", "-c", CHAIN, mark],
        "crowd": ["env", "-i", sys.executable, "-S", "-c", CROWD, mark],
    }
    for way in ways:
        if way == "daemon":
            _daemon(sleeper)
        else:
            subprocess.Popen(commands[way], stdout=nowhere, stderr=nowhere)
    until_marked(mark, len(set(ways) - {"chain"}))
    time.sleep(0.3)  # a chain is hardly ever seen


def leave_and_wait(mark: str, ways: list[str], path: str = "begun") -> None:
    """Leave processes behind, and run until a file is there."""
    leave(mark, ways)
    until("go", path)


def _daemon(command: list[str]) -> None:
    """What a daemon does: fork twice, a new session, no files, another folder, no environment."""
    if (child := os.fork()) > 0:
        os.waitpid(child, 0)
        return
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.chdir("/")
    os.closerange(0, 1024)
    os.execve(command[0], command, {})


def marked(mark: str) -> list[int]:
    """The processes with a mark in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if mark.encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
    return found


def until_marked(mark: str, count: int) -> None:
    end = time.monotonic() + 10
    while len(marked(mark)) < count:
        assert time.monotonic() < end, "they did not start"
        time.sleep(0.01)


def count_marked(mark: str, path: str = "counted") -> None:
    """Write how many processes have a mark."""
    add(path, len(marked(mark)))


class Quits:
    """Could save itself, and leaves with -1 without having been asked to."""

    def __call__(self) -> None:
        note("quits")
        sys.exit(-1)

    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        return DelayedSubmission(self, *args, **kwargs)


quits = Quits()


def remember() -> None:
    """Write what this interpreter remembers, and its module's version."""
    STATE.append("x")
    add("remembered", json.dumps([len(STATE), VERSION, os.getpid(), os.getppid()]))


def like_any_process() -> None:
    """Do what depends on how an interpreter starts and ends."""
    atexit.register(note, "atexit")
    threading.Timer(0.3, note, ["thread"]).start()
    one, other = socket.socketpair()
    other.close()
    try:
        one.sendall(b"x" * 10_000)
    except BrokenPipeError:
        note("broken pipe")
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        note("interrupt")
    add("stdin", repr(sys.stdin.read()))


class Counter:
    """Saves itself when it is warned, and is quick the second time."""

    def __init__(self) -> None:
        self.attempts = 0

    def __call__(self) -> None:
        self.attempts += 1
        add("attempts", self.attempts)
        if self.attempts == 1:
            time.sleep(60)

    def checkpoint(self, *args: Any, **kwargs: Any) -> DelayedSubmission:
        return DelayedSubmission(self, *args, **kwargs)


counter = Counter()


def kept() -> list[str | None]:
    """What of the step's environment there is."""
    return [os.environ.get("KEPT"), os.environ.get("PLACE"), os.getcwd()]
