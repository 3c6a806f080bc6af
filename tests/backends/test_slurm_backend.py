"""Slurm as a backend: one sbatch call per stage, never two; jobs found by their tag."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from planit import Chain, Step
from planit.backends.base import CachedQueue, Dependency, Tagged, TaggedJob, refuse_left
from planit.backends.slurm.backend import SlurmBackend
from planit.backends.slurm.client import SlurmClient
from planit.errors import PlanError, SchedulerError, SubmissionError
from planit.graph import lower
from planit.graph.lowering import DEFAULT_MAX_ARRAY_SIZE
from planit.record.jobs import JobRef, JobView
from tests.backends.tools import CONFIG, DOWN, QUEUE, UNKNOWN, Tools, job
from tests.helpers import nothing
from tests.memory import MemoryScheduler
from tests.runs import ARGS, BETA

TAG = "planit:r1:1.0"
BUSY = "sbatch: error: Unable to contact slurm controller\n"


@pytest.fixture
def backend(tools: Tools) -> SlurmBackend:
    tools.answer("squeue", QUEUE)
    return SlurmBackend(SlurmClient(cancel_pause_s=0), retry_wait_s=0)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\n")
    return path


def submit(
    backend: SlurmBackend, script: Path, *after: Dependency, cluster: str | None = None
) -> JobRef:
    return backend.submit(script, tag=TAG, cluster=cluster, after=after)


def ref(number: str, cluster: str | None = None) -> JobRef:
    return JobRef(cluster, number)


def found(backend: SlurmBackend, *clusters: str | None, prefix: str = "planit:r1:") -> Tagged:
    return backend.tagged(prefix, clusters or [None])


# One stage


@pytest.mark.parametrize(
    ("after", "options"),
    [
        ([], "--hold"),
        (
            [Dependency("afterok", ref("1")), Dependency("afterok", ref("2"))],
            "--hold --dependency=afterok:1:2 --kill-on-invalid-dep=yes",
        ),
        ([Dependency("aftercorr", ref("1"))], "--hold --dependency=aftercorr:1"),
        (
            [Dependency("afterok", ref("1")), Dependency("aftercorr", ref("2"))],
            "--hold --dependency=afterok:1,aftercorr:2",
        ),
    ],
)
def test_a_stage_is_submitted_held_behind_its_jobs(
    backend: SlurmBackend, tools: Tools, script: Path, after: Sequence[Dependency], options: str
) -> None:
    tools.answer("sbatch", "12\n")
    assert submit(backend, script, *after) == ref("12")
    assert tools.calls("sbatch") == [f"--parsable {options} {script}"]
    assert tools.calls("squeue") == []


def test_sites_may_do_without_killing_what_can_never_run(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    backend.kill_on_invalid_dep = False
    tools.answer("sbatch", "12\n")
    submit(backend, script, Dependency("afterok", ref("1")))
    assert tools.calls("sbatch") == [f"--parsable --hold --dependency=afterok:1 {script}"]


def test_a_refusal_is_final_and_asks_the_queue_once(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", "sbatch: error: invalid partition\n", 1)
    with pytest.raises(SubmissionError, match=r"^sbatch: invalid partition$"):
        submit(backend, script)
    assert (len(tools.calls("sbatch")), len(tools.calls("squeue"))) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        "Unable to contact slurm controller",
        "Socket timed out on send/recv operation",
        "Slurm temporarily unable to accept job",
        "too many pending jobs",
        "TRY AGAIN",
    ],
)
def test_a_failure_that_may_pass_is_tried_three_times(
    backend: SlurmBackend, tools: Tools, script: Path, words: str
) -> None:
    tools.answer("sbatch", "", f"sbatch: error: {words}\n", 1)
    with pytest.raises(SubmissionError, match=words):
        submit(backend, script)
    assert len(tools.calls("sbatch")) == 3
    tools.answer("sbatch", "7\n", call=5)
    assert submit(backend, script) == ref("7")


def test_a_call_that_the_queue_shows_to_have_worked_is_not_repeated(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", BUSY, 1)
    tools.answer("squeue", QUEUE + job("9_0", "PENDING", comment=f"mine {TAG}"))
    assert submit(backend, script) == ref("9")
    assert len(tools.calls("sbatch")) == 1
    tools.answer("sbatch", "", "sbatch: error: refused after all\n", 1)
    assert submit(backend, script) == ref("9")


def test_a_live_job_is_taken_before_one_that_has_ended(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", BUSY, 1)
    jobs = job("8", "CANCELLED", comment=TAG) + job("9", "PENDING", comment=TAG)
    tools.answer("squeue", QUEUE + jobs + job("10", "PENDING", comment=f"{TAG}1"))
    assert submit(backend, script) == ref("9")


def test_a_call_is_never_repeated_without_an_answer_of_the_queue(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", BUSY, 1)
    tools.answer("squeue", "", DOWN, 1)
    with pytest.raises(SubmissionError, match=r"sbatch: Unable.*; and then squeue: slurm_load"):
        submit(backend, script)
    assert (len(tools.calls("sbatch")), len(tools.calls("squeue"))) == (1, 3)


def test_a_refusal_counts_though_the_queue_does_not_answer(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", "sbatch: error: invalid partition\n", 1)
    tools.answer("squeue", "", DOWN, 1)
    with pytest.raises(SubmissionError, match=r"^sbatch: invalid partition$"):
        submit(backend, script)
    assert len(tools.calls("squeue")) == 1


def test_a_job_whose_id_is_unclear_is_looked_for_and_never_submitted_again(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "no id, and try again\n")
    with pytest.raises(SubmissionError, match="and then and the queue does not have it"):
        submit(backend, script)
    assert (len(tools.calls("sbatch")), len(tools.calls("squeue"))) == (1, 3)
    tools.answer("squeue", QUEUE + job("9", "PENDING", comment=TAG), call=5)
    assert submit(backend, script) == ref("9")
    assert len(tools.calls("sbatch")) == 2


def test_the_pauses_before_a_repetition_grow(
    backend: SlurmBackend, tools: Tools, script: Path, pauses: list[float]
) -> None:
    backend.retry_wait_s = 2
    tools.answer("sbatch", "", BUSY, 1)
    tools.answer("squeue", "", DOWN, 1)
    with pytest.raises(SubmissionError):
        submit(backend, script)
    assert pauses == [2, 4, 6]
    pauses.clear()
    tools.answer("sbatch", "unclear\n")
    with pytest.raises(SubmissionError):
        submit(backend, script)
    assert pauses == [4, 6]
    pauses.clear()
    tools.answer("sbatch", "", "sbatch: error: no\n", 1)
    with pytest.raises(SubmissionError):
        submit(backend, script)
    assert pauses == []


def test_a_job_is_looked_for_on_the_cluster_that_it_was_sent_to(
    backend: SlurmBackend, tools: Tools, script: Path
) -> None:
    tools.answer("sbatch", "", BUSY, 1)
    tools.answer("squeue", QUEUE + job("9", "PENDING", comment=TAG))
    assert submit(backend, script, cluster="beta") == ref("9", "beta")
    assert tools.calls("squeue")[0].startswith("-M beta ")


# Found by tag


def test_jobs_are_found_by_the_last_word_of_their_comment(
    backend: SlurmBackend, tools: Tools
) -> None:
    lines = [
        job("1", "RUNNING", comment="my own words planit:r1:1.0"),
        job("2_0", "COMPLETED", comment="planit:r1:1.1"),
        job("2_1", "PENDING", comment="planit:r1:1.1"),
        job("2_2", "COMPLETED", comment="planit:r1:1.1"),
        job("3", "COMPLETED", comment="planit:r1:1.2"),
        job("4", "RUNNING", comment="planit:r2:1.0"),
        job("5", "RUNNING", comment="planit:r1:1.0 but not last"),
        job("6", "RUNNING"),
    ]
    tools.answer("squeue", QUEUE + "".join(lines))
    assert found(backend).jobs == (
        TaggedJob(ref("1"), "planit:r1:1.0", True),
        TaggedJob(ref("2"), "planit:r1:1.1", True),
        TaggedJob(ref("3"), "planit:r1:1.2", False),
    )


def test_each_cluster_is_asked_once_and_those_without_an_answer_are_named(
    backend: SlurmBackend, tools: Tools
) -> None:
    tools.answer("squeue", "", DOWN, 1, call=1)
    tools.answer("squeue", "", UNKNOWN, 1, call=2)
    tools.answer("squeue", QUEUE + job("1", "RUNNING", comment=TAG), call=3)
    result = found(backend, None, "beta", "gamma", None)
    assert result.jobs == (TaggedJob(ref("1", "gamma"), TAG, True),)
    assert list(result.no_answer) == [None]
    assert len(tools.calls("squeue")) == 3
    with pytest.raises(SchedulerError, match="cannot tell what is in the queue: squeue: "):
        result.refuse_no_answer()
    Tagged().refuse_no_answer()


# Confirmed


def test_jobs_that_are_there_once_are_confirmed(backend: SlurmBackend, tools: Tools) -> None:
    tools.answer("squeue", QUEUE + job("1", "PENDING", comment=TAG))
    backend.confirm("planit:r1:1.", {TAG: ref("1")})
    assert tools.calls("scancel") == []


def test_a_job_that_is_not_there_is_an_error_that_names_what_is(
    backend: SlurmBackend, tools: Tools
) -> None:
    tools.answer("squeue", QUEUE + job("2", "PENDING", comment=TAG))
    with pytest.raises(SubmissionError) as caught:
        backend.confirm("planit:r1:1.", {TAG: ref("1")})
    assert caught.value.message == (
        "job 1, as sbatch printed it, is not there; the queue has 2 instead"
    )
    tools.answer("squeue", QUEUE + job("1", "CANCELLED", comment=TAG))
    with pytest.raises(SubmissionError, match=r"printed it, is not there$"):
        backend.confirm("planit:r1:1.", {TAG: ref("1")})


def test_a_second_job_of_a_tag_is_cancelled(backend: SlurmBackend, tools: Tools) -> None:
    both = job("1", "PENDING", comment=TAG) + job("2", "PENDING", comment=TAG)
    other = job("3", "PENDING", comment="planit:r1:1.7") + job("4", "CANCELLED", comment=TAG)
    tools.answer("squeue", QUEUE + both + other)
    with pytest.raises(SubmissionError, match="job 2 is a second one, and cannot be cancelled: st"):
        backend.confirm("planit:r1:1.", {TAG: ref("1")})
    assert set(tools.calls("scancel")) == {"2"}
    tools.answer("squeue", QUEUE + both, call=len(tools.calls("squeue")) + 1)
    tools.answer("squeue", QUEUE + job("1", "PENDING", comment=TAG))
    backend.confirm("planit:r1:1.", {TAG: ref("1")})


def test_without_an_answer_nothing_is_confirmed(backend: SlurmBackend, tools: Tools) -> None:
    tools.answer("squeue", "", DOWN, 1)
    with pytest.raises(SchedulerError, match=r"^squeue: "):
        backend.confirm("planit:r1:1.", {TAG: ref("1")})
    with pytest.raises(SchedulerError, match=r"^cluster beta: squeue: "):
        backend.confirm("planit:r1:1.", {TAG: ref("1", "beta")})


# Clusters and their configuration


def test_a_cluster_that_slurm_does_not_know_is_refused_with_what_could_be_meant(
    backend: SlurmBackend, tools: Tools
) -> None:
    graph = lower(Step("far", nothing, BETA))
    tools.answer("scontrol", CONFIG + "ClusterName = beta\n")
    backend.check(graph)
    backend = SlurmBackend()
    tools.answer("scontrol", "", UNKNOWN, 1)
    tools.answer("sacctmgr", "alpha\nbeta2\n")
    with pytest.raises(PlanError, match="step 'far': Slurm has no cluster 'beta'") as caught:
        backend.check(graph)
    assert "beta2" in str(caught.value.hint)
    tools.answer("sacctmgr", "", "down\n", 1)
    with pytest.raises(PlanError) as caught:
        backend.check(graph)
    assert caught.value.hint == "sacctmgr show clusters"


def test_steps_on_the_default_cluster_are_not_checked(backend: SlurmBackend, tools: Tools) -> None:
    backend.check(lower(Chain(Step("a", nothing, ARGS))))
    assert tools.calls("scontrol") == []


def test_the_size_of_arrays_and_the_name_of_the_cluster_are_slurms(
    backend: SlurmBackend, tools: Tools
) -> None:
    tools.answer("scontrol", CONFIG + "MaxArraySize = 77\nClusterName = alpha\n")
    assert backend.max_array_size(None) == 77
    assert (backend.cluster_name(None), backend.cluster_name("beta")) == ("alpha", "beta")
    tools.answer("scontrol", "", UNKNOWN, 1)
    assert backend.max_array_size("beta") == DEFAULT_MAX_ARRAY_SIZE


def test_the_default_cluster_is_the_sites(
    backend: SlurmBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CLUSTERS", raising=False)
    monkeypatch.setenv("SBATCH_CLUSTERS", "beta")
    assert backend.default_cluster() == "beta"


def test_the_settings_make_the_same_backend_again(tools: Tools) -> None:
    assert SlurmBackend().settings() == {
        "kill_on_invalid_dep": True,
        "python": shlex.quote(sys.executable),
        "dependency": None,
    }
    other = SlurmBackend(kill_on_invalid_dep=False, python="apptainer exec x python")
    assert SlurmBackend(**other.settings()).settings() == other.settings()
    assert (other.name, other.poll_interval_s, other.retry_wait_s) == ("slurm", 10.0, 1.0)


def test_jobs_are_released_and_cancelled_by_the_client(backend: SlurmBackend, tools: Tools) -> None:
    backend.release([ref("1")])
    assert tools.calls("scontrol") == ["release 1"]
    tools.answer("squeue", QUEUE + job("1", "RUNNING"))
    assert backend.cancel([ref("1")]) == {ref("1"): "still RUNNING, and scancel printed nothing"}


# What is left of a cancellation


def test_jobs_that_are_left_are_an_error_that_names_five() -> None:
    refuse_left({})
    six = {ref(str(number)): "there" for number in range(6)}
    with pytest.raises(SchedulerError) as caught:
        refuse_left(six)
    assert caught.value.message == (
        "6 job(s) are not known to be gone: 0: there; 1: there; 2: there; 3: there; 4: there;"
        " and 1 more"
    )
    with pytest.raises(SchedulerError, match=r"1 job\(s\) are not known to be gone: 0@beta: x \("):
        refuse_left({ref("0", "beta"): "x"})


# One queue for many runs


def test_one_queue_is_asked_for_once_for_many_runs() -> None:
    slurm = MemoryScheduler(no_answer={"beta": "down"})
    client = CachedQueue(slurm)
    assert client.source == slurm.source
    assert client.queue(None) is client.queue(None)
    for _ in range(2):
        with pytest.raises(SchedulerError, match="down"):
            client.queue("beta")
    assert dict(slurm.calls) == {("queue", None): 1, ("queue", "beta"): 1}
    slurm.accounts[None, "1"] = JobView("1", "COMPLETED")
    assert client.accounting(None, ["1", "2"]) == {"1": JobView("1", "COMPLETED")}
    slurm.stubborn = {ref("1"): "there"}
    assert client.cancel([ref("1")]) == {ref("1"): "there"}
