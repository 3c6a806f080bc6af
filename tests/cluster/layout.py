"""What the private Slurm consists of: its settings, its two clusters, and where its files are."""

from __future__ import annotations

import getpass
import json
import os
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

SETTINGS = "settings.json"


@dataclass(frozen=True)
class Settings:
    """What may differ between two private Slurms; stored in the folder, for whoever attaches."""

    base_port: int
    min_job_age: int
    max_array_size: int
    user: str
    host: str

    @classmethod
    def here(cls, base_port: int, min_job_age: int, max_array_size: int) -> Settings:
        """Settings for this user on this machine."""
        try:
            user = getpass.getuser() if os.geteuid() else "root"
        except (KeyError, OSError):  # an uid without a name, as in some containers
            user = str(os.geteuid())
        host = socket.gethostname().partition(".")[0]
        return cls(base_port, min_job_age, max_array_size, user, host)

    def save(self, root: Path) -> None:
        """Write them to the folder of the cluster."""
        (root / SETTINGS).write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def load(cls, root: Path) -> Settings:
        """Read them back."""
        return cls(**json.loads((root / SETTINGS).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Member:
    """One of the clusters that share the accounting database."""

    name: str
    nodes: tuple[str, ...]
    suffix: str
    """What tells its slurmctld from the first one's, in the names of daemons."""
    first_port: int
    """Offset from the base port: slurmctld there, one slurmd per node behind it."""

    @property
    def controller(self) -> str:
        """The name of its slurmctld."""
        return f"slurmctld{self.suffix}"


ALPHA = Member("alpha", ("n1", "n2"), "", 1)
BETA = Member("beta", ("b1",), ":second", 4)
MEMBERS = (ALPHA, BETA)


@dataclass(frozen=True)
class Layout:
    """The files of one private Slurm, all below `root`."""

    root: Path

    @property
    def munge_socket(self) -> Path:
        """Where the private munged listens; also the name under which Slurm is told of it."""
        return self.root / "munge" / "socket"

    @property
    def mariadb_socket(self) -> Path:
        """Where the private MariaDB listens, and nowhere else."""
        return self.root / "db.socket"

    def home(self, member: Member) -> Path:
        """The folder of one cluster: its slurm.conf, gres.conf, state and spool."""
        return self.root / member.name

    def conf(self, member: Member) -> Path:
        """The slurm.conf of one cluster."""
        return self.home(member) / "slurm.conf"

    def log(self, daemon: str) -> Path:
        """What a daemon wrote to its standard output and error."""
        return self.root / "log" / f"{daemon.replace(':', '-')}.log"
