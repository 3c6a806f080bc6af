"""How each daemon is started: its command line and environment."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .layout import ALPHA, MEMBERS, Layout
from .packages import path_of


@dataclass(frozen=True)
class Daemon:
    """One program of the private Slurm. It stays in the foreground and logs to its stderr."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str]
    log: Path


def daemons(layout: Layout) -> dict[str, Daemon]:
    """Every daemon by name, in the order of starting."""
    root = layout.root
    commands: dict[str, list[str]] = {
        "munged": _munged(layout),
        "mariadbd": ["mariadbd", *_mariadb_options(layout), "--skip-networking"],
        "slurmdbd": ["slurmdbd", "-D"],
    }
    confs = dict.fromkeys(commands, layout.conf(ALPHA))
    for member in MEMBERS:
        names = {member.controller: ["slurmctld", "-D"]}
        for node in member.nodes:
            names[f"slurmd:{node}"] = ["slurmd", "-D", "-N", node]
        commands.update(names)
        confs.update(dict.fromkeys(names, layout.conf(member)))
    return {
        name: Daemon(
            name,
            (path_of(argv[0]), *argv[1:]),
            _environment(root, SLURM_CONF=confs[name], MYSQL_UNIX_PORT=layout.mariadb_socket),
            layout.log(name),
        )
        for name, argv in commands.items()
    }


def _environment(root: Path, **extra: Path) -> dict[str, str]:
    """A small environment of our own: nothing of the caller's leaks into daemons or jobs."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": os.environ.get("HOME", "/"),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(root / "tmp"),
        **{name: str(value) for name, value in extra.items()},
    }


def _munged(layout: Layout) -> list[str]:
    """A munged with its own key. --force: its folder lies below one that others may not pass."""
    folder = layout.munge_socket.parent
    return [
        "munged",
        "--foreground",
        "--force",
        f"--key-file={folder}/key",
        f"--socket={layout.munge_socket}",
        f"--pid-file={folder}/pid",
        f"--log-file={folder}/log",
        f"--seed-file={folder}/seed",
        "--num-threads=4",
    ]


def _mariadb_options(layout: Layout) -> list[str]:
    """Small and careless of a power cut: the data is thrown away anyway."""
    user = ["--user=root"] if os.geteuid() == 0 else []
    return [
        "--no-defaults",
        *user,
        f"--datadir={layout.root}/db",
        f"--socket={layout.mariadb_socket}",
        f"--pid-file={layout.root}/db.pid",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-flush-method=nosync",
        "--innodb-doublewrite=0",
        "--innodb-buffer-pool-size=32M",
        "--innodb-log-file-size=8M",
        "--innodb-lock-wait-timeout=900",
        "--key-buffer-size=1M",
        "--aria-pagecache-buffer-size=8M",
        "--performance-schema=OFF",
        "--skip-name-resolve",
        "--skip-log-bin",
    ]


def create_database(layout: Layout) -> None:
    """Lay out MariaDB's data folder, with a root that needs no password on the private socket."""
    options = [
        option
        for option in _mariadb_options(layout)
        if not option.startswith(("--socket", "--pid-file"))
    ]
    argv = [
        path_of("mariadb-install-db"),
        *options,
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    with layout.log("mariadb-install-db").open("wb") as output:
        done = subprocess.run(
            argv,
            env=_environment(layout.root),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise ClusterError(f"mariadb-install-db failed:\n{tail(output_of(output.name))}")


def output_of(path: str | Path) -> str:
    """The text of a log; empty when there is none yet."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def tail(text: str, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    return "\n".join(text.splitlines()[-lines:]) or "(its log is empty)"
