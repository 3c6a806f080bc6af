"""The private Slurm does what the other tests rely on. Needs the `slurm` fixture in conftest.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster import Cluster, ClusterError, ensure_installed, missing_packages, packages
from tests.cluster.processes import started_at

pytestmark = pytest.mark.slurm

_REPOSITORY = Path(__file__).resolve().parents[2]
_OWNER = """
import os, sys
from tests.cluster import Cluster
cluster = Cluster.start()
print(cluster.root, *cluster.running().values(), flush=True)
sys.stdin.read()
cluster.stop()
"""


def run(cluster: Cluster, *argv: str, cwd: Path | None = None) -> str:
    """What a Slurm client prints; it must succeed."""
    done = subprocess.run(
        argv, env=cluster.env(), cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def submit(cluster: Cluster, output: Path, script: str, *options: str) -> str:
    """Submit a one-line script; return its job id."""
    argv = ["sbatch", "--parsable", f"--output={output}", *options, f"--wrap={script}"]
    return run(cluster, *argv, cwd=output.parent).partition(";")[0]


def until(done: Callable[[], bool], seconds: float = 30.0) -> None:
    """Poll until it holds."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "not within the time"
        time.sleep(0.05)


def state(cluster: Cluster, job: str, *options: str) -> str:
    """What the accounting says of a job."""
    return run(cluster, "sacct", "-XnP", "-o", "state", "-j", job, *options)


def test_job_with_inner_srun_runs(slurm: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "out"
    job = submit(slurm, output, "srun echo from-$SLURM_JOB_ID-$SLURM_CLUSTER_NAME")
    until(lambda: state(slurm, job) == "COMPLETED")
    assert output.read_text() == f"from-{job}-alpha\n"


def test_afterok_chain_runs_in_order_and_quickly(slurm: Cluster, tmp_path: Path) -> None:
    hops = 4
    first = submit(slurm, tmp_path / "0", "date +%s.%N", "--hold")
    last = first
    for index in range(1, hops + 1):
        last = submit(slurm, tmp_path / str(index), "date +%s.%N", f"--dependency=afterok:{last}")
    run(slurm, "scontrol", "release", first)
    until(lambda: state(slurm, last) == "COMPLETED")
    times = [float((tmp_path / str(index)).read_text()) for index in range(hops + 1)]
    assert times == sorted(times)
    assert times[-1] - times[0] < 2.0 * hops


def test_child_of_failed_job_is_cancelled(slurm: Cluster, tmp_path: Path) -> None:
    parent = submit(slurm, tmp_path / "a", "exit 3", "--hold")
    behind = (f"--dependency=afterok:{parent}", "--kill-on-invalid-dep=yes")
    child = submit(slurm, tmp_path / "b", "true", *behind)
    run(slurm, "scontrol", "release", parent)
    until(lambda: state(slurm, child).startswith("CANCELLED"))
    assert state(slurm, parent) == "FAILED"
    assert not (tmp_path / "b").exists()


def test_gpus_are_given_to_jobs(slurm: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "out"
    options = ("--partition=gpu_a100", "--gres=gpu:a100:2")
    job = submit(slurm, output, "echo $CUDA_VISIBLE_DEVICES", *options)
    until(lambda: state(slurm, job) == "COMPLETED")
    assert re.fullmatch(r"[0-3],[0-3]\n", output.read_text())


def test_second_cluster_takes_jobs_with_inner_srun(slurm: Cluster, tmp_path: Path) -> None:
    output = tmp_path / "out"
    job = submit(slurm, output, "srun echo $SLURM_CLUSTER_NAME", "-M", "beta")
    until(lambda: state(slurm, job, "-M", "beta") == "COMPLETED")
    assert output.read_text() == "beta\n"


def test_accounting_knows_times_and_peak_memory(slurm: Cluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path / "out", "sleep 1.5")
    until(lambda: state(slurm, job) == "COMPLETED")
    shown = run(slurm, "sacct", "-nP", "-o", "start,end,maxrss", "-j", f"{job}.batch")
    start, end, peak = shown.split("|")
    assert start < end
    assert peak.endswith(("K", "M"))


def test_job_over_its_memory_is_killed(slurm: Cluster, tmp_path: Path) -> None:
    script = f"{sys.executable} -c 'x = b\"x\" * 300_000_000; import time; time.sleep(30)'"
    job = submit(slurm, tmp_path / "out", script, "--mem=100")
    until(lambda: state(slurm, job) == "FAILED")
    assert "exceeded memory limit" in (tmp_path / "out").read_text()


def test_cancelled_job_leaves_no_process(slurm: Cluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path / "out", "setsid sleep 300 & echo $!; wait")
    until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text() != "")
    pid = int((tmp_path / "out").read_text())
    assert started_at(pid) is not None
    run(slurm, "scancel", job)
    until(lambda: started_at(pid) is None)


def test_stopped_daemons_come_back_with_their_jobs(slurm: Cluster, tmp_path: Path) -> None:
    job = submit(slurm, tmp_path / "out", "true", "--hold")
    for name in ("slurmctld", "slurmctld:second", "slurmdbd"):
        slurm.stop_daemon(name)
        assert name not in slurm.running()
        slurm.start_daemon(name)
    slurm.wait_ready()
    run(slurm, "scontrol", "release", job)
    until(lambda: state(slurm, job) == "COMPLETED")


def test_failed_daemon_is_reported_with_its_log(slurm: Cluster) -> None:
    slurm.stop_daemon("slurmctld:second")
    good = slurm.conf_of("beta").read_text()
    try:
        slurm.conf_of("beta").write_text(f"{good}\nNonsense=1\n")
        slurm.start_daemon("slurmctld:second")
        with pytest.raises(ClusterError, match=r"slurmctld:second is not running(.|\n)*Nonsense"):
            slurm.wait_ready()
    finally:
        slurm.conf_of("beta").write_text(good)
        slurm.start_daemon("slurmctld:second")
        slurm.wait_ready()


def test_unknown_daemon_is_refused_with_the_known_ones(slurm: Cluster) -> None:
    with pytest.raises(ClusterError, match="no daemon 'slurmd'; there are: munged, "):
        slurm.stop_daemon("slurmd")


def test_environment_drops_what_an_allocation_left(
    slurm: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SBATCH_ACCOUNT", "someone")
    assert "SLURM_JOB_ID" not in slurm.env()
    assert "SBATCH_ACCOUNT" not in slurm.env()
    assert slurm.env()["SLURM_CONF"] == str(slurm.conf)


@contextmanager
def owner() -> Iterator[subprocess.Popen[str]]:
    """Another process that starts a private Slurm of its own."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER],
        cwd=_REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def announced(process: subprocess.Popen[str]) -> tuple[Path, list[int]]:
    """The folder and the daemons of an owner's Slurm, once it is up."""
    assert process.stdout is not None
    root, *pids = process.stdout.readline().split()
    return Path(root), [int(pid) for pid in pids]


def test_two_started_at_once_do_not_collide_and_end_with_their_owners(tmp_path: Path) -> None:
    with owner() as first, owner() as second:
        (root, pids), (other_root, other_pids) = announced(first), announced(second)
        one, other = Cluster.attach(root), Cluster.attach(other_root)
        jobs = [submit(one, tmp_path / "a", "sleep 300"), submit(other, tmp_path / "b", "true")]
        assert jobs == ["1", "1"]
        until(lambda: state(other, "1") == "COMPLETED")
        until(lambda: state(one, "1") == "RUNNING")

        os.kill(first.pid, signal.SIGKILL)
        until(lambda: not root.exists() and not any(map(started_at, pids)))
        assert all(map(started_at, other_pids))

        second.communicate("")
        assert not other_root.exists()
        assert not any(map(started_at, other_pids))


def test_cluster_by_hand_outlives_its_starter_until_taken_down(tmp_path: Path) -> None:
    root = Path(tempfile.gettempdir()) / f"planit-slurm-test-{os.getpid()}"
    command = [sys.executable, "-m", "tests.cluster"]
    here = f"--dir={root}"
    subprocess.run([*command, "up", here], cwd=_REPOSITORY, check=True, stdout=subprocess.DEVNULL)
    cluster = Cluster.attach(root)
    pids = list(cluster.running().values())
    submit(cluster, tmp_path / "out", "true")
    status = subprocess.run(
        [*command, "status", here], cwd=_REPOSITORY, capture_output=True, text=True, check=True
    )
    assert f"export SLURM_CONF={cluster.conf}" in status.stdout
    subprocess.run([*command, "down", here], cwd=_REPOSITORY, check=True)
    assert not root.exists()
    assert not any(map(started_at, pids))


def test_daemons_of_a_killed_supervisor_end_and_down_clears_up() -> None:
    cluster = Cluster.start()
    pids = list(cluster.running().values())
    supervisor = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not any(map(started_at, pids)))
    cluster.stop()
    assert not cluster.root.exists()


def test_mail_is_written_down(slurm: Cluster, tmp_path: Path) -> None:
    submit(slurm, tmp_path / "out", "true", "--mail-type=END", "--mail-user=me@university.edu")
    until(lambda: "Ended" in slurm.mails() and "me@university.edu" in slurm.mails())


def test_folder_of_someone_else_is_neither_used_nor_removed() -> None:
    with tempfile.TemporaryDirectory(prefix="thesis-") as name:
        mine = Path(name, "thesis.tex")
        mine.touch()
        with pytest.raises(ClusterError, match="is not an empty folder"):
            Cluster.start(Path(name))
        assert mine.exists()


def test_normal_user_is_told_what_root_has_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "find", lambda program: None if "slurm" in program else program)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing_packages() == ["slurm-wlm", "slurmdbd"]
    with pytest.raises(ClusterError, match=r"missing: slurm-wlm, slurmdbd\. As root: apt-get up"):
        ensure_installed()
