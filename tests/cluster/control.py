"""Starting and ending the supervisor of a private Slurm, and giving it orders."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from . import processes, supervisor
from .daemons import output_of, tail
from .errors import ClusterError
from .layout import SETTINGS
from .ports import PortBlock

_LONGEST_ROOT = 60  # a Unix socket's path ends at 107 bytes, and Slurm adds spool/NODE_JOB.STEP


def is_up(root: Path) -> bool:
    """Whether a supervisor answers in this folder."""
    try:
        order(root, {"do": "list"})
    except ClusterError:
        return False
    return True


def end(root: Path) -> None:
    """End the private Slurm in `root`, whoever started it, and remove the folder.

    Its supervisor does it; when that was killed, the pids that it wrote down are used instead.
    Raises ClusterError when the folder holds something else, or a process refuses to end.
    """
    if not root.exists():
        return
    if not (root / SETTINGS).exists():
        raise ClusterError(f"{root} holds no private Slurm; nothing ended, nothing removed")
    try:
        recorded = json.loads((root / supervisor.RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        recorded = {}
    try:
        order(root, {"do": "end"}, seconds=60.0)
    except ClusterError:
        pids = {int(pid): start for pid, start in recorded.items() if start is not None}
        if left := processes.kill_recorded(pids):
            raise ClusterError(f"could not end the processes {left} of {root}") from None
    shutil.rmtree(root, ignore_errors=True)


def prepare(root: Path | None) -> Path:
    """An empty folder for a cluster that only this user can enter. Raises ClusterError."""
    if root is None:
        root = Path(tempfile.gettempdir()).resolve() / f"planit-slurm-{secrets.token_hex(4)}"
    root = root.resolve()
    if len(str(root)) > _LONGEST_ROOT:
        raise ClusterError(f"{root} is too long: at most {_LONGEST_ROOT} characters, for sockets")
    if not re.fullmatch(r"[\w./+-]+", str(root), re.ASCII):
        raise ClusterError(f"{root}: slurm.conf takes only letters, digits and ._+-/ in a path")
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if root.stat().st_uid != os.geteuid() or any(root.iterdir()):
        raise ClusterError(f"{root} is not an empty folder of this user")
    root.chmod(0o700)
    return root


def start_supervisor(root: Path, block: PortBlock, *, owned: bool) -> subprocess.Popen[bytes]:
    """Start the parent of all daemons, in a session of its own, and wait until it listens."""
    lock = block.lock.fileno()
    argv = [sys.executable, "-E", supervisor.__file__, str(root), "--keep", str(lock)]
    kept = [lock]
    owner = os.pidfd_open(os.getpid()) if owned else None
    try:
        if owner is not None:
            argv += ["--owner", str(owner)]
            kept.append(owner)
        # Its stderr is a file: a pipe of the caller's would stay open as long as the cluster.
        with (root / "log" / "supervisor.log").open("ab") as log:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                pass_fds=kept,
                start_new_session=True,
                cwd="/",
            )
    finally:
        if owner is not None:
            os.close(owner)
    assert process.stdout is not None
    with process.stdout:
        if process.stdout.readline() != b"ready\n":
            process.kill()
            process.wait()
            raise ClusterError(f"no supervisor:\n{tail(output_of(log.name))}")
    return process


def order(root: Path, what: dict[str, Any], seconds: float = 30.0) -> dict[str, Any]:
    """Tell the supervisor of `root` what to do. Raises ClusterError when it cannot or is gone."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.settimeout(seconds)
            peer.connect(str(root / supervisor.CONTROL))
            peer.sendall(json.dumps(what).encode() + b"\n")
            reply: dict[str, Any] = json.loads(peer.makefile().readline())
    except (OSError, ValueError) as error:
        raise ClusterError(f"the supervisor of {root} does not answer: {error}") from error
    if "error" in reply:
        raise ClusterError(str(reply["error"]))
    return reply
