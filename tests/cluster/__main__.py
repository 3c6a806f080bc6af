"""Start a private real Slurm on this machine, to try things on by hand; see the commands."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .cluster import Cluster
from .control import end, is_up
from .errors import ClusterError
from .layout import MEMBERS, SETTINGS
from .packages import SHELLS, ensure_installed, missing_packages


def default_dir() -> Path:
    """Where `up` puts the cluster unless told otherwise: one place per user, so `down` finds it."""
    return Path(tempfile.gettempdir()) / f"planit-slurm-uid{os.geteuid()}"


def up(root: Path) -> int:
    """Install and start what is missing, and say how to use it."""
    if is_up(root):
        print(f"A private Slurm is up already in {root}.")
    else:
        _start(root)
    _explain(Cluster.attach(root))
    return 0


def down(root: Path) -> int:
    """End it and remove its folder."""
    if not root.exists():
        print(f"No private Slurm in {root}: nothing to end.")
        return 0
    end(root)
    print(f"Ended the private Slurm in {root} and removed the folder.")
    return 0


def shell(root: Path) -> int:
    """Open $SHELL with the cluster in reach; end the cluster afterwards if it was not up before."""
    was_up = is_up(root)
    if not was_up:
        _start(root)
    try:
        cluster = Cluster.attach(root)
        print(f"SLURM_CONF is {cluster.conf}. Leave the shell (exit) to come back.", flush=True)
        argv = [os.environ.get("SHELL", "/bin/sh")]
        return subprocess.run(argv, env=cluster.env(), check=False).returncode
    finally:
        if not was_up:
            down(root)


def status(root: Path) -> int:
    """Say which daemons run; exit code 1 when there is no cluster or one is missing."""
    if not is_up(root):
        print(f"No private Slurm runs in {root}.")
        return 1
    cluster = Cluster.attach(root)
    running = cluster.running()
    for name in cluster.daemon_names:
        print(f"{name:18} {running.get(name, 'not running')}")
    _explain(cluster)
    return 0 if set(cluster.daemon_names) <= set(running) else 1


def install(_root: Path) -> int:
    """Install what the tests need, and start nothing."""
    if missing := missing_packages(SHELLS):
        print(f"Installing {', '.join(missing)} ...", flush=True)
    ensure_installed(SHELLS)
    return 0


def _start(root: Path) -> None:
    """Start a cluster that outlives this process, clearing away the remains of a dead one."""
    if missing := missing_packages():
        print(f"Installing {', '.join(missing)} ...", flush=True)
    ensure_installed()
    if (root / SETTINGS).exists():
        end(root)
    elif root.is_dir() and not any(root.iterdir()):
        shutil.rmtree(root)
    print(f"Starting a private Slurm in {root} ...", flush=True)
    begun = time.monotonic()
    Cluster.start(root, owned=False)
    print(f"Up after {time.monotonic() - begun:.1f} s.")


def _explain(cluster: Cluster) -> None:
    """How to reach the cluster from a shell."""
    names = " and ".join(member.name for member in MEMBERS)
    print(f"Clusters {names}, partitions batch and gpu_a100. Use the first one with:")
    print(f"  export SLURM_CONF={shlex.quote(str(cluster.conf))}")
    print(f"and the second with -M {MEMBERS[1].name}. Logs: {cluster.root}/log")


def main(arguments: list[str] | None = None) -> int:
    """Run one of the commands; return its exit code."""
    commands = {"up": up, "down": down, "shell": shell, "status": status, "install": install}
    helps = {
        "up": "install Slurm when it is missing (as root), start one, say how to use it",
        "down": "end it and remove its folder",
        "shell": "open $SHELL with SLURM_CONF set, in a cluster that ends with the shell",
        "status": "list its daemons; exit code 1 unless all of them run",
        "install": "install Slurm and the shells that tests use when they are missing (as root)",
    }
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    below = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in helps.items():
        sub = below.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        sub.add_argument(
            "--dir",
            type=Path,
            default=default_dir(),
            help="the folder of the cluster, missing or empty at first (default: %(default)s)",
        )
    options = parser.parse_args(arguments)
    try:
        return commands[options.command](options.dir.absolute())
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
