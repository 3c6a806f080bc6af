"""The Debian packages that a private Slurm and other tests need, and installing them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

from .errors import ClusterError

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
SHELLS = ("zsh", "fish")  # whose completion is tested; bash is there
_APT = "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends"
_PROGRAMS = {
    "slurm-wlm": ("slurmctld", "slurmd", "sbatch", "srun", "sacct", "sacctmgr", "scontrol"),
    "slurmdbd": ("slurmdbd",),
    "munge": ("munged", "munge"),
    "mariadb-server": ("mariadbd", "mariadb-install-db", "mariadb-admin"),
}
# A normal user's PATH on Debian lacks the folders that the daemons are in.
SEARCH_PATH = os.pathsep.join(["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"])


def find(program: str) -> str | None:
    """The absolute path of a program, looked for on PATH and in the system's sbin folders."""
    path = os.pathsep.join([os.environ.get("PATH", ""), SEARCH_PATH])
    return shutil.which(program, path=path)


def path_of(program: str) -> str:
    """Like find(), but raises ClusterError when the program is missing."""
    found = find(program)
    if found is None:
        raise ClusterError(f"{program} is not installed. {install_hint()}")
    return found


def missing_packages(more: Sequence[str] = ()) -> list[str]:
    """The Debian packages of which some program is missing, judged by the programs themselves.

    `more` are packages besides those of Slurm, with a program of the same name.

    Asking for the programs, not dpkg, accepts a Slurm that was built from source.
    """
    return [
        package
        for package in (*PACKAGES, *more)
        if not all(find(program) for program in _PROGRAMS.get(package, (package,)))
    ]


def install_hint() -> str:
    """The command that root has to run, for error messages."""
    return f"As root: apt-get update && {_APT} {' '.join(PACKAGES)}"


def ensure_installed(more: Sequence[str] = ()) -> None:
    """Install what is missing when root; raise ClusterError with the command when not root."""
    missing = missing_packages(more)
    if not missing:
        return
    if os.geteuid() != 0:
        raise ClusterError(f"missing: {', '.join(missing)}. {install_hint()}")
    if find("apt-get") is None:
        raise ClusterError(f"missing: {', '.join(missing)}, and there is no apt-get to install it")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _apt(["update"], environment)
    _apt(["install", "-y", "--no-install-recommends", *missing], environment)
    if still := missing_packages(more):
        raise ClusterError(f"apt-get succeeded, yet these are missing: {', '.join(still)}")


def _apt(arguments: list[str], environment: dict[str, str]) -> None:
    """Run apt-get quietly; its last lines become the error when it fails."""
    done = subprocess.run(
        ["apt-get", "-q", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise ClusterError(f"apt-get {' '.join(arguments)} failed:\n{tail}")
