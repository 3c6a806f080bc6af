"""The Debian packages that a private Slurm needs, and installing them."""

from __future__ import annotations

import os
import shutil
import subprocess

from .errors import ClusterError

PACKAGES = ("slurm-wlm", "slurmdbd", "munge", "mariadb-server")
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


def missing_packages() -> list[str]:
    """The Debian packages of which some program is missing, judged by the programs themselves.

    Asking for the programs, not dpkg, accepts a Slurm that was built from source.
    """
    return [
        package for package in PACKAGES if not all(find(program) for program in _PROGRAMS[package])
    ]


def install_hint() -> str:
    """The command that root has to run, for error messages."""
    return f"As root: apt-get update && {_APT} {' '.join(PACKAGES)}"


def ensure_installed() -> None:
    """Install what is missing when root; raise ClusterError with the command when not root."""
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0:
        raise ClusterError(f"missing: {', '.join(missing)}. {install_hint()}")
    if find("apt-get") is None:
        raise ClusterError(f"missing: {', '.join(missing)}, and there is no apt-get to install it")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _apt(["update"], environment)
    _apt(["install", "-y", "--no-install-recommends", *PACKAGES], environment)
    if still := missing_packages():
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
