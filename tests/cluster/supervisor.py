"""The parent of all daemons of one private Slurm: starts them, and ends them with their jobs.

It runs as a script of its own (`python supervisor.py FOLDER ...`), in its own session, and is
the "subreaper" of everything below it (prctl(2)): a slurmstepd that leaves its slurmd, or a job
that leaves its slurmstepd, becomes a child of the supervisor, not of init. So "all that belongs
to this cluster" is exactly the tree below one process, and no search by name is ever needed.

When its owner ends, however it ends (a pidfd tells, even for kill -9), it ends the tree and
removes the folder. It takes orders as one JSON line per connection on FOLDER/control: start a
daemon, stop one, list them, end.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

if __package__:
    from . import processes
else:  # run as a script: the folder of this file is sys.path[0]
    import processes  # type: ignore[import-not-found, no-redef, unused-ignore]

CONTROL, RECORD = "control", "processes.json"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _prctl(option: int, value: int) -> None:
    """Set one attribute of this process; Python has no wrapper for prctl(2)."""
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


class Supervisor:
    """The daemons of one folder, by name."""

    def __init__(self, folder: Path) -> None:
        """Begin with no daemon, and leave our own pid on record."""
        self.folder = folder
        self.pids: dict[str, int] = {}
        self.statuses: dict[str, int] = {}
        self._record()

    def start(self, name: str, argv: list[str], env: dict[str, str], log: str) -> int:
        """Start a daemon in its own session, its output appended to `log`; return its pid."""
        if name in self.pids:
            raise ValueError(f"{name} runs already")
        pid = os.fork()
        if pid == 0:
            self._become(argv, env, log)
        self.pids[name] = pid
        self.statuses.pop(name, None)
        self._record()
        return pid

    def _become(self, argv: list[str], env: dict[str, str], log: str) -> None:
        """In the child: turn into the daemon. Never returns."""
        try:
            os.setsid()
            # If even the supervisor is killed, the daemons go with it.
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(output, 1)
            os.dup2(output, 2)
            os.chdir(self.folder)
            for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(sign, signal.SIG_DFL)
            os.execve(argv[0], argv, env)
        except OSError as error:
            os.write(2, f"cannot run {argv[0]}: {error}\n".encode())
        finally:
            os._exit(127)

    def stop(self, name: str, seconds: float = 15.0) -> None:
        """End one daemon: SIGTERM, so that it saves its state, and SIGKILL when it hangs."""
        pid = self.pids.get(name)
        if pid is None:
            return
        processes.kill(pid, signal.SIGTERM)
        until = time.monotonic() + seconds
        while name in self.pids:
            if time.monotonic() > until:
                processes.kill(pid)
            time.sleep(0.01)
            self.reap()

    def reap(self) -> None:
        """Collect what has ended: daemons, and the orphans that came to us as the subreaper."""
        names = {pid: name for name, pid in self.pids.items()}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if name := names.get(ended[0]):
                    self.statuses[name] = os.waitstatus_to_exitcode(ended[1])
                    del self.pids[name]
                    self._record()

    def end(self) -> None:
        """SIGKILL the whole tree and remove the folder: nothing in it outlives the cluster.

        A process may fork between the look and the kill, so look again until none is left.
        """
        until = time.monotonic() + 30.0
        while (left := processes.descendants(os.getpid())) and time.monotonic() < until:
            for pid in left:
                processes.kill(pid)
            time.sleep(0.01)
            self.reap()
        shutil.rmtree(self.folder, ignore_errors=True)

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do one order."""
        self.reap()
        if order["do"] == "start":
            self.start(order["name"], order["argv"], order["env"], order["log"])
        elif order["do"] == "stop":
            self.stop(order["name"])
        return {"pids": self.pids, "statuses": self.statuses}

    def _record(self) -> None:
        """Write down our own and the daemons' pids, for a `down` that finds no supervisor."""
        pids = [os.getpid(), *self.pids.values()]
        text = json.dumps({str(pid): processes.started_at(pid) for pid in pids})
        scratch = self.folder / f"{RECORD}.new"
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(self.folder / RECORD)


def _converse(supervisor: Supervisor, listener: socket.socket) -> bool:
    """Take one order and answer it. Returns False after the order to end."""
    with contextlib.suppress(OSError, ValueError), listener.accept()[0] as peer:
        peer.settimeout(5.0)
        order = json.loads(peer.makefile().readline())
        if order["do"] == "end":
            supervisor.end()
            peer.sendall(b"{}\n")
            return False
        try:
            reply = supervisor.answer(order)
        except (KeyError, OSError, ValueError) as error:
            reply = {"error": str(error)}
        peer.sendall(json.dumps(reply).encode() + b"\n")
    return True


def _serve(supervisor: Supervisor, listener: socket.socket, owner: int | None) -> None:
    """Answer orders until told to end, signalled, or left alone by the owner."""
    watched: list[socket.socket | int] = [listener] if owner is None else [listener, owner]
    while True:
        ready = select.select(watched, [], [], 0.2)[0]
        supervisor.reap()
        if owner is not None and owner in ready:
            return supervisor.end()
        if listener in ready and not _converse(supervisor, listener):
            return None
        if not supervisor.folder.exists():  # someone removed it by hand
            return supervisor.end()


def main() -> None:
    """Run one supervisor. Its parent waits for the line "ready" on its standard output."""
    parser = argparse.ArgumentParser(description="internal: see the docstring of this file")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--owner", type=int, help="a pidfd; without one, stay until told to end")
    parser.add_argument("--keep", type=int, help="a lock to hold open")
    options = parser.parse_args()
    for descriptor in (options.owner, options.keep):
        if descriptor is not None:
            os.set_inheritable(descriptor, False)
    os.umask(0o077)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    supervisor = Supervisor(options.folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(options.folder / CONTROL))
        listener.listen()
        for sign in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(sign, lambda *_: sys.exit(0))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        try:
            _serve(supervisor, listener, options.owner)
        except SystemExit:
            supervisor.end()


if __name__ == "__main__":
    main()
