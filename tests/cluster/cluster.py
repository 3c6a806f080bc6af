"""A private Slurm for tests: two clusters, `alpha` and `beta`, that share one accounting database.

    cluster = Cluster.start()
    subprocess.run(["sbatch", "--wrap", "hostname"], env=cluster.env(), check=True)
    cluster.stop()

Everything is below one temporary folder and nothing under /etc is touched. When the process that
called start() ends without stop(), even by kill -9, the daemons and jobs end too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from . import config
from .control import end, is_up, order, prepare, start_supervisor
from .daemons import Daemon, create_database, daemons, output_of, tail
from .errors import ClusterError
from .layout import ALPHA, MEMBERS, Layout, Settings
from .packages import SEARCH_PATH, path_of
from .ports import claim

_POLL = 0.05
_PATIENCE = 3.0  # seconds; a slurmctld registers within one
_PREFIXES = ("SLURM", "SBATCH_", "SALLOC_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_", "SCONTROL_")


class Cluster:
    """A running private Slurm. Make one with start(), or attach() to one by its folder.

    Daemons are called munged, mariadbd, slurmdbd, slurmctld (of alpha), slurmctld:second (of
    beta), and slurmd:n1, slurmd:n2, slurmd:b1.
    """

    def __init__(self, root: Path, supervisor: subprocess.Popen[bytes] | None = None) -> None:
        """Use start() or attach() instead."""
        self.root = root
        self._supervisor = supervisor
        self._complaint = ""
        self._layout = Layout(root)
        self._daemons: dict[str, Daemon] = daemons(self._layout)

    @classmethod
    def start(
        cls,
        root: Path | None = None,
        *,
        min_job_age: int = 300,
        max_array_size: int = 1001,
        owned: bool = True,
    ) -> Cluster:
        """Start everything and return when jobs can run on both clusters.

        `root` must be missing or empty, and is removed by stop(); by default it is a new
        temporary folder. `min_job_age` is in seconds (MinJobAge in slurm.conf(5)). Unless
        `owned`, the cluster outlives the calling process. Raises ClusterError with the tail of
        the log of the daemon that failed.
        """
        root = prepare(root)
        try:
            with (block := claim()).lock:
                settings = Settings.here(block.base, min_job_age, max_array_size)
                config.write_all(Layout(root), settings)
                supervisor = start_supervisor(root, block, owned=owned)
        except BaseException:
            shutil.rmtree(root, ignore_errors=True)
            raise
        cluster = cls(root, supervisor if owned else None)
        if not owned:
            supervisor.returncode = 0  # nobody will wait for it: no ResourceWarning, please
        try:
            cluster._bring_up()
        except BaseException:
            cluster.stop()
            raise
        return cluster

    @classmethod
    def attach(cls, root: Path) -> Cluster:
        """The cluster that another process started in `root`. Raises ClusterError without one."""
        if not is_up(root):
            raise ClusterError(f"no private Slurm runs in {root}")
        return cls(root.resolve())

    @property
    def conf(self) -> Path:
        """The slurm.conf of the first cluster, for SLURM_CONF."""
        return self._layout.conf(ALPHA)

    def conf_of(self, name: str) -> Path:
        """The slurm.conf of the cluster called `name`. Raises KeyError for an unknown one."""
        return {member.name: self._layout.conf(member) for member in MEMBERS}[name]

    def env(self) -> dict[str, str]:
        """os.environ with SLURM_CONF set, without what an allocation or a user's site left.

        Otherwise a test that itself runs inside a Slurm job would submit with that job's settings.
        """
        kept = {key: value for key, value in os.environ.items() if not key.startswith(_PREFIXES)}
        path = os.pathsep.join([kept.get("PATH", ""), SEARCH_PATH])
        return {**kept, "PATH": path, "SLURM_CONF": str(self.conf)}

    def stop(self) -> None:
        """End all daemons and jobs, and remove the folder. A second call does nothing."""
        end(self.root)
        if self._supervisor is not None:
            self._supervisor.wait()

    def stop_daemon(self, name: str) -> None:
        """Fault injection: end one daemon as an administrator would, and wait until it is gone."""
        self._known(name)
        order(self.root, {"do": "stop", "name": name})

    def start_daemon(self, name: str) -> None:
        """Start one daemon; wait_ready() then waits until it does its work."""
        daemon = self._known(name)
        what = {
            "do": "start",
            "name": name,
            "argv": list(daemon.argv),
            "env": daemon.env,
            "log": str(daemon.log),
        }
        order(self.root, what)

    @property
    def daemon_names(self) -> list[str]:
        """Every daemon that a whole cluster has, in the order of starting."""
        return list(self._daemons)

    def running(self) -> dict[str, int]:
        """The pids of the daemons that run now, by name."""
        pids: dict[str, int] = order(self.root, {"do": "list"})["pids"]
        return pids

    def log_of(self, name: str) -> str:
        """All that a daemon has logged."""
        return output_of(self._known(name).log)

    def mails(self, name: str = ALPHA.name) -> str:
        """The mails that a cluster has sent, one a line: `-s SUBJECT RECIPIENT`.

        Slurm sends them a few seconds late, and nowhere else than to this file.
        """
        return output_of(self.conf_of(name).parent / "mails")

    def wait_ready(self, seconds: float = 60.0) -> None:
        """Wait until every daemon answers, every node is up and `-M` finds both clusters.

        Raises ClusterError, with the tail of its log, when a daemon has ended meanwhile.
        """
        controllers = [member.controller for member in MEMBERS]
        registered = partial(self._clusters_registered, time.monotonic() + _PATIENCE, set())
        self._await("slurmdbd", registered, seconds, controllers)
        for member in MEMBERS:
            names = [f"slurmd:{node}" for node in member.nodes]
            conf = self._layout.conf(member)
            self._await(member.controller, partial(self._nodes_up, conf), seconds, names)

    def _bring_up(self) -> None:
        """Start the daemons, each as soon as what it needs answers."""
        self.start_daemon("munged")
        create_database(self._layout)
        self.start_daemon("mariadbd")
        self._await("munged", self._layout.munge_socket.exists)
        ping = ["mariadb-admin", "--no-defaults", f"--socket={self._layout.mariadb_socket}"]
        self._await("mariadbd", lambda: self._succeeds(*ping, "--user=root", "ping"))
        self.start_daemon("slurmdbd")
        self._await("slurmdbd", lambda: self._succeeds("sacctmgr", "-n", "show", "cluster"))
        names = [member.name for member in MEMBERS]
        for name in names:
            self._output("sacctmgr", "-i", "add", "cluster", name)
        for name in self._daemons:
            if name.startswith(("slurmctld", "slurmd:")):
                self.start_daemon(name)
        self.wait_ready()

    def _known(self, name: str) -> Daemon:
        """The daemon of that name."""
        if name not in self._daemons:
            raise ClusterError(f"no daemon {name!r}; there are: {', '.join(self._daemons)}")
        return self._daemons[name]

    def _await(
        self,
        name: str,
        done: Callable[[], bool],
        seconds: float = 60.0,
        others: list[str] | None = None,
    ) -> None:
        """Poll `done`; raise with the log of `name`, or one of `others`, when that has ended."""
        until = time.monotonic() + seconds
        while not done():
            state = order(self.root, {"do": "list"})
            for needed in [name, *(others or [])]:
                if needed not in state["pids"]:
                    status = state["statuses"].get(needed, "never started")
                    raise ClusterError(self._failure(needed, f"is not running ({status})"))
            if time.monotonic() > until:
                raise ClusterError(self._failure(name, f"was not ready within {seconds:g} s"))
            time.sleep(_POLL)

    def _failure(self, name: str, what: str) -> str:
        """An error text with the end of a daemon's log."""
        text = f"{name} {what}. The end of its log:\n{tail(self.log_of(name))}"
        return f"{text}\nThe last client said: {self._complaint}" if self._complaint else text

    def _output(self, *argv: str, conf: Path | None = None) -> str | None:
        """What a client program prints, or None when it fails."""
        done = subprocess.run(
            [path_of(argv[0]), *argv[1:]],
            env={**self.env(), "SLURM_CONF": str(conf or self.conf)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self._complaint = done.stderr.strip()
        return done.stdout if done.returncode == 0 else None

    def _succeeds(self, *argv: str) -> bool:
        """Whether a client program exits with 0."""
        return self._output(*argv) is not None

    def _clusters_registered(self, patient_until: float, restarted: set[str]) -> bool:
        """Whether slurmdbd knows where both slurmctld listen, which is how `-M` finds them.

        A slurmctld says so once, when it starts. One that started while slurmdbd was down never
        says it again (Slurm 22.05), so it is restarted once when patience has run out.
        """
        shown = self._output("sacctmgr", "-nP", "show", "cluster", "format=cluster,controlport")
        if shown is None:
            return False
        ports = dict(line.split("|") for line in shown.splitlines())
        silent = [member.controller for member in MEMBERS if ports.get(member.name, "0") == "0"]
        if time.monotonic() > patient_until:
            for name in set(silent) - restarted:
                restarted.add(name)
                self.stop_daemon(name)
                self.start_daemon(name)
        return not silent

    def _nodes_up(self, conf: Path) -> bool:
        """Whether a slurmctld answers and all its nodes can take jobs."""
        shown = self._output("sinfo", "-h", "-N", "-o", "%T", conf=conf)
        states = (shown or "").split()
        return bool(states) and all(
            state in {"idle", "mixed", "allocated", "completing"} for state in states
        )
