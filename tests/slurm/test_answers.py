"""Wrong, torn and missing answers of Slurm's tools, and environments that change what they do."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from planit import Parallel, Run, SlurmArgs, Step
from planit.backends.slurm.backend import SlurmBackend
from planit.backends.slurm.client import SlurmClient
from planit.errors import ConfigError, PlanError, SchedulerError, UnknownClusterError
from planit.record.jobs import JobRef
from tests.cluster import Cluster
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    Script,
    in_queue,
    lines,
    note,
    of_run,
    settled,
    slurm_says,
    states,
    submit,
    until,
    wrapped,
)

pytestmark = pytest.mark.slurm
QUICK = SlurmClient(timeout_s=2, cancel_pause_s=0.1)
BACKEND = SlurmBackend(client=QUICK, retry_wait_s=0.1)
FAILING = [
    'echo "squeue: error: Invalid user: 12345" >&2; real "$@"',
    "echo 'slurm_load_jobs error: Unable to contact slurm controller'",
    "true",
    'real "$@" | head -c -3',
    'real "$@" | head -n 1 | head -c 20',
    'real "$@" | tail -n +2',
    'real "$@"; exit 1',
]


def tag_of(folder: Path, stage: int = 0) -> str:
    """Each test's own."""
    return f"planit:{folder.name}:1.{stage}"


def script(folder: Path, tag: str, *options: str) -> Path:
    path = folder / "script.sh"
    own = ["--partition=batch", "--time=5", "--output=/dev/null", f"--comment='mine {tag}'"]
    directives = "".join(f"#SBATCH {option}\n" for option in [*own, *options])
    path.write_text(f"#!/bin/sh\n{directives}sleep 100\n")
    return path


@contextmanager
def held(folder: Path, *options: str, stage: int = 0) -> Iterator[JobRef]:
    """A held job, cancelled in the end."""
    tag = tag_of(folder, stage)
    job = BACKEND.submit(script(folder, tag, *options), tag=tag, cluster=None, after=())
    try:
        yield job
    finally:
        assert QUICK.cancel([job]) == {}


@contextmanager
def down(slurm: Cluster, name: str) -> Iterator[None]:
    slurm.stop_daemon(name)
    try:
        yield
    finally:
        slurm.start_daemon(name)
        slurm.wait_ready()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SQUEUE_ACCOUNT", "nobodys"),
        ("SQUEUE_NAMES", "nothing"),
        ("SQUEUE_QOS", "long"),
        ("SQUEUE_PARTITION", "gpu_a100"),
        ("SQUEUE_STATES", "RUNNING"),
        ("SQUEUE_USERS", "nobody"),
        ("SQUEUE_LICENSES", "matlab"),
        ("LOGNAME", "other"),
        ("SLURM_CLUSTERS", "beta"),
        ("SLURM_CLUSTERS", "alpha,beta"),
    ],
)
def test_no_environment_hides_a_job(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with held(tmp_path) as job:
        monkeypatch.setenv(name, value)
        assert SlurmClient().queue(None)[job.job_id].state == "PENDING"
        monkeypatch.delenv(name)


def test_a_step_is_not_lost_by_an_environment(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = submit(tmp_path, Step("gate", steps.gate, ARGS, str(tmp_path / "go")))
    until(lambda: states(run) == {"gate": "RUNNING"})
    (run.path / "states.json").unlink()
    monkeypatch.setenv("SQUEUE_NAMES", "nothing")
    monkeypatch.setenv("LOGNAME", "other")
    assert states(run) == {"gate": "RUNNING"}
    (tmp_path / "go").touch()
    assert settled(run) == {"gate": "DONE"}


@pytest.mark.parametrize("squeue", FAILING)
def test_an_answer_of_squeue_that_may_be_wrong_is_none(
    slurm: Cluster, tmp_path: Path, squeue: str
) -> None:
    with held(tmp_path):
        with wrapped(tmp_path / "bin", {"squeue": squeue}):
            with pytest.raises(SchedulerError):
                QUICK.queue(None)
            found = BACKEND.tagged(tag_of(tmp_path), [None])
            assert (found.jobs, list(found.no_answer)) == ((), [None])
        assert [job.tag for job in BACKEND.tagged(tag_of(tmp_path), [None]).jobs] == [
            tag_of(tmp_path)
        ]


def test_banners_around_the_answer_of_squeue_change_nothing(slurm: Cluster, tmp_path: Path) -> None:
    banner = 'echo "Welcome | to | us"; echo Hello >&2; real "$@"; echo "See you"'
    with held(tmp_path) as job, wrapped(tmp_path / "bin", {"squeue": banner}):
        assert QUICK.queue(None)[job.job_id].state == "PENDING"


@pytest.mark.parametrize("how", ["true", "echo error >&2", 'real "$@" | head -c -1'])
def test_an_answer_of_sacct_or_scontrol_that_may_be_wrong_is_none(
    slurm: Cluster, tmp_path: Path, how: str
) -> None:
    with wrapped(tmp_path / "bin", {"sacct": how, "scontrol": how}):
        with pytest.raises(SchedulerError):
            QUICK.accounting(None, ["1"])
        with pytest.raises(SchedulerError):
            SlurmClient().setting("MaxArraySize", None)
    assert SlurmClient().setting("MaxArraySize", None) == "1001"


def test_the_tasks_of_an_array_with_many_gaps_are_all_seen(slurm: Cluster, tmp_path: Path) -> None:
    tasks = sorted(random.Random(1).sample(range(1000), 300))
    option = f"--array={','.join(map(str, tasks))}"
    with held(tmp_path, option) as job:
        wanted = [f"{job.job_id}_{task}" for task in tasks]
        assert [key for key in QUICK.queue(None) if key.startswith(f"{job.job_id}_")] == wanted
        assert QUICK.cancel([replace(job, job_id=key) for key in wanted[::2]]) == {}
        seen = QUICK.queue(None).values()
        pending = [view.key for view in seen if view.key in wanted and view.state == "PENDING"]
        assert pending == wanted[1::2]


def test_jobs_with_one_tag_are_all_found_and_arrays_are_one_job(
    slurm: Cluster, tmp_path: Path
) -> None:
    with (
        held(tmp_path) as one,
        held(tmp_path) as two,
        held(tmp_path, "--array=0-3", stage=1) as array,
        held(tmp_path, stage=2) as other,
    ):
        assert QUICK.cancel([replace(array, job_id=f"{array.job_id}_0"), two]) == {}
        found = BACKEND.tagged(tag_of(tmp_path).removesuffix("0"), [None])
        assert {(job.ref, job.tag, job.live) for job in found.jobs} == {
            (one, tag_of(tmp_path), True),
            (two, tag_of(tmp_path), False),
            (array, tag_of(tmp_path, 1), True),
            (other, tag_of(tmp_path, 2), True),
        }
        assert [job.ref for job in BACKEND.tagged(tag_of(tmp_path, 2), [None]).jobs] == [other]


def test_a_cluster_that_is_down_is_told_from_one_that_slurm_does_not_know(
    slurm: Cluster, tmp_path: Path
) -> None:
    with held(tmp_path) as job, down(slurm, "slurmctld:second"):
        with pytest.raises(SchedulerError) as silence:
            QUICK.queue("beta")
        assert not isinstance(silence.value, UnknownClusterError)
        with pytest.raises(UnknownClusterError, match="No cluster 'wice' known"):
            QUICK.queue("wice")
        with pytest.raises(UnknownClusterError):
            QUICK.setting("MaxArraySize", "wice")
        found = BACKEND.tagged(tag_of(tmp_path), ["beta", "wice", None])
        assert [one.ref for one in found.jobs if one.live] == [job]
        assert list(found.no_answer) == ["beta"]
        there, nowhere = JobRef("beta", "1"), JobRef("wice", "1")
        left = QUICK.cancel([there, nowhere, job])
        assert list(left) == [there]
        assert "can't be reached now" in left[there]


def test_a_step_on_a_cluster_that_slurm_does_not_know_is_refused_first(
    slurm: Cluster, tmp_path: Path
) -> None:
    wice = SlurmArgs(time="5", partition="batch", cluster="wice")
    there = Parallel(note("b0", tmp_path / "ran", wice), note("b1", tmp_path / "ran", wice))
    with (
        wrapped(tmp_path / "bin", ("sbatch",)) as calls,
        pytest.raises(PlanError, match="step 'b0': Slurm has no cluster 'wice'") as refused,
    ):
        submit(tmp_path / "runs", Parallel(note("a", tmp_path / "ran"), there))
    assert "known: alpha, beta" in str(refused.value.hint)
    assert refused.value.exit_code == 2
    assert not calls.exists()
    assert not (tmp_path / "runs").exists()


def test_a_step_on_a_cluster_that_is_down_is_refused_first(slurm: Cluster, tmp_path: Path) -> None:
    beta = SlurmArgs(time="5", partition="batch", cluster="beta")
    root = Parallel(note("a", tmp_path / "ran"), note("b", tmp_path / "ran", beta))
    with (
        down(slurm, "slurmctld:second"),
        wrapped(tmp_path / "bin", ("sbatch",)) as calls,
        pytest.raises(SchedulerError, match="'beta' can't be reached now"),
    ):
        submit(tmp_path / "runs", root)
    assert not calls.exists()


def test_a_cluster_set_for_every_job_is_recorded(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "beta")
    run = submit(tmp_path, Step("gate", steps.gate, ARGS, str(tmp_path / "go")))
    monkeypatch.delenv("SLURM_CLUSTERS")
    until(lambda: states(run) == {"gate": "RUNNING"})
    assert run.status().steps[0].cluster == "beta"
    assert of_run(run, "gate") in slurm_says("squeue", "-M", "beta", "-h", "-o", "%i").split()
    (tmp_path / "go").touch()
    assert settled(run) == {"gate": "DONE"}


def test_several_clusters_set_for_every_job_are_refused_first(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CLUSTERS", "alpha,beta")
    with (
        wrapped(tmp_path / "bin", ("sbatch",)) as calls,
        pytest.raises(ConfigError, match="SLURM_CLUSTERS=alpha,beta names several"),
    ):
        submit(tmp_path / "runs", note("a", tmp_path / "ran"))
    assert not calls.exists()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SBATCH_ARRAY_INX", "0-5"),
        ("SBATCH_WAIT", "1"),
        ("SBATCH_CLUSTERS", "beta"),
        ("SBATCH_TIMELIMIT", "7"),
        ("SBATCH_PARTITION", "gpu_a100"),
    ],
)
def test_no_environment_changes_what_the_script_asks_for(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with held(tmp_path) as job:
        assert job.cluster is None
        shown = slurm_says("squeue", "-h", "-j", job.job_id, "-o", "%i %l %P")
        assert shown == f"{job.job_id} 5:00 batch"


def test_what_a_site_sets_for_every_job_reaches_sbatch(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_WCKEY", "mine")
    with held(tmp_path) as job:
        assert slurm_says("squeue", "-h", "-j", job.job_id, "-o", "%w") == "mine"


@pytest.mark.parametrize(
    ("scancel", "why"),
    [
        ("sleep 10", "gave no answer in 1 s"),
        ("exit 1", "ended with exit code 1"),
        (
            'echo "scancel: error: Kill job error on job id $JOB: Access/permission denied" >&2',
            "Access/permission denied",
        ),
        ("true", "scancel printed nothing"),
    ],
)
def test_a_job_that_scancel_leaves_is_named_and_a_second_try_ends_it(
    slurm: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scancel: str, why: str
) -> None:
    client = SlurmClient(timeout_s=1, cancel_pause_s=0.1)
    with held(tmp_path) as job:
        monkeypatch.setenv("JOB", job.job_id)
        with wrapped(tmp_path / "bin", {"scancel": scancel}) as calls:
            left = client.cancel([job])
        assert list(left) == [job]
        assert left[job].startswith("still PENDING")
        assert why in left[job]
        assert lines(calls) == ["scancel"] * 3
        assert client.cancel([job]) == {}


@pytest.mark.parametrize(
    "scancel",
    ['real "$@"; exit 1', 'real "$@"; sleep 5', '[ -e "$0.1" ] && real "$@"; touch "$0.1"'],
)
def test_a_job_that_is_gone_is_gone_whatever_scancel_said(
    slurm: Cluster, tmp_path: Path, scancel: str
) -> None:
    client = SlurmClient(timeout_s=1, cancel_pause_s=0.1)
    with held(tmp_path) as job, wrapped(tmp_path / "bin", {"scancel": scancel}):
        assert client.cancel([job]) == {}
        assert client.queue(None)[job.job_id].state == "CANCELLED"


@pytest.mark.parametrize("squeue", FAILING[:4])
def test_a_queue_that_nobody_saw_is_not_claimed_to_be_empty(
    slurm: Cluster, tmp_path: Path, squeue: str
) -> None:
    with held(tmp_path) as job, wrapped(tmp_path / "bin", {"squeue": squeue}):
        left = QUICK.cancel([job])
        assert list(left) == [job]
        assert left[job].startswith("no answer: squeue")


@pytest.mark.parametrize(
    "sbatch",
    [
        'echo 4242; real "$@"',
        'real "$@"; echo 4242',
        'echo "Dear user,"; real "$@"; echo; echo "your quota is 17 TB"',
        'real "$@" > /dev/null',
        'real "$@" | tr -d "\\n"',
        'real "$@"; echo -n 4242',
    ],
)
def test_the_id_is_the_jobs_whatever_sbatch_prints(
    slurm: Cluster, tmp_path: Path, sbatch: str
) -> None:
    with wrapped(tmp_path / "bin", {"sbatch": sbatch}) as calls, held(tmp_path) as job:
        assert lines(calls) == ["sbatch"]
        found = BACKEND.tagged(tag_of(tmp_path), [None])
        assert [(one.ref, one.live) for one in found.jobs] == [(job, True)]


INTERRUPTED = """
import sys
from pathlib import Path
from tests.slurm.tools import note, submit
base = Path(sys.argv[1])
submit(base, note("a", base / "ran"))
"""


def test_ctrl_c_during_sbatch_leaves_nothing_behind(slurm: Cluster, tmp_path: Path) -> None:
    slow = f'touch {tmp_path}/begun; (sleep 2; real "$@"; touch {tmp_path}/over)'
    with wrapped(tmp_path / "bin", {"sbatch": slow}):
        process = Script(tmp_path, INTERRUPTED).start(str(tmp_path))
        until((tmp_path / "begun").exists)
        process.send_signal(2)
        _, err = process.communicate(timeout=60)
    assert "KeyboardInterrupt" in err
    until((tmp_path / "over").exists)
    run = Run.open(base=tmp_path)
    until(lambda: not in_queue(run), 10)
    assert lines(tmp_path / "ran") == []
