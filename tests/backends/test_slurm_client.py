"""Calling Slurm's tools: what is asked, what counts as an answer, and what an error says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planit.backends.slurm import parse
from planit.backends.slurm.client import SlurmClient, UnclearSubmissionError
from planit.errors import SchedulerError, SubmissionError, UnknownClusterError
from planit.record.jobs import JobRef, JobView
from tests.backends.tools import ACCOUNT, CONFIG, DOWN, QUEUE, UNKNOWN, Tools, job


@pytest.fixture
def client(tools: Tools) -> SlurmClient:
    return SlurmClient(timeout_s=20, cancel_pause_s=0)


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\n#SBATCH --account=mine\n")
    return str(path)


def one(number: str, cluster: str | None = None) -> JobRef:
    return JobRef(cluster, number)


# sbatch


def test_a_script_is_submitted_with_its_options(
    client: SlurmClient, tools: Tools, script: str
) -> None:
    tools.answer("sbatch", "12\n")
    assert client.submit(script, ["--hold", "--x"]) == one("12")
    assert tools.calls("sbatch") == [f"--parsable --hold --x {script}"]
    assert dict(client.calls) == {"sbatch": 1}


@pytest.mark.parametrize(("printed", "cluster"), [("12\n", "beta"), ("12;gamma\n", "gamma")])
def test_a_job_is_on_the_cluster_that_sbatch_names_or_that_was_asked_for(
    client: SlurmClient, tools: Tools, script: str, printed: str, cluster: str
) -> None:
    tools.answer("sbatch", printed)
    assert client.submit(script, [], "beta") == one("12", cluster)
    assert tools.calls("sbatch") == [f"-M beta --parsable {script}"]


def test_a_refusal_is_told_in_slurms_own_words(
    client: SlurmClient, tools: Tools, script: str
) -> None:
    tools.answer("sbatch", "", "sbatch: error: invalid partition\nsbatch: error: no\n", 1)
    with pytest.raises(SubmissionError) as caught:
        client.submit(script, [])
    assert caught.value.message == "sbatch: invalid partition; no"
    assert not isinstance(caught.value, UnclearSubmissionError)


def test_a_refusal_without_words_is_told_by_its_exit_code(
    client: SlurmClient, tools: Tools, script: str
) -> None:
    tools.answer("sbatch", "12\n", "", 3)
    with pytest.raises(SubmissionError, match=r"^sbatch ended with exit code 3$"):
        client.submit(script, [])


def test_an_unclear_id_is_not_taken_for_one(client: SlurmClient, tools: Tools, script: str) -> None:
    tools.answer("sbatch", "12\n13\n")
    with pytest.raises(UnclearSubmissionError, match=r"no clear job id but '12\\n13\\n'"):
        client.submit(script, [])


def test_sbatch_sees_what_its_script_does_not_set_and_the_other_tools_none_of_it(
    client: SlurmClient, tools: Tools, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SBATCH_ACCOUNT", "SBATCH_CONSTRAINT", "SQUEUE_FORMAT"):
        monkeypatch.setenv(name, "theirs")
    tools.answer("sbatch", "12\n")
    tools.answer("squeue", QUEUE)
    client.submit(script, [])
    client.queue(None)
    assert "SBATCH_CONSTRAINT=theirs" in tools.seen("sbatch", "env")
    assert "SBATCH_ACCOUNT" not in tools.seen("sbatch", "env")
    assert "theirs" not in tools.seen("squeue", "env")


def test_what_a_job_makes_is_not_others_to_write(
    client: SlurmClient, tools: Tools, script: str
) -> None:
    tools.answer("sbatch", "12\n")
    before = os.umask(0)
    try:
        client.submit(script, [])
    finally:
        os.umask(before)
    assert int(tools.seen("sbatch", "umask"), 8) & 0o022 == 0o022


# Tools that give no answer


def test_a_tool_that_is_not_there_is_named(
    tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SubmissionError, match="sbatch is not on PATH") as caught:
        SlurmClient().submit(script, [])
    assert "login node" in str(caught.value.hint)
    with pytest.raises(SchedulerError, match="squeue is not on PATH"):
        SlurmClient().queue(None)


def test_a_tool_that_takes_too_long_gave_no_answer(tools: Tools, script: str) -> None:
    client = SlurmClient(timeout_s=0.2)
    for tool in ("squeue", "sbatch"):
        tools.answer(tool, QUEUE, wait_s=5)
    with pytest.raises(SchedulerError, match=r"squeue gave no answer in 0\.2 s"):
        client.queue(None)
    with pytest.raises(SubmissionError, match=r"sbatch gave no answer in 0\.2 s"):
        client.submit(script, [])


def test_a_tool_may_take_a_minute() -> None:
    assert (SlurmClient().timeout_s, SlurmClient().cancel_pause_s) == (60, 1)


# squeue and sacct


def test_the_queue_is_asked_for_all_of_the_users_jobs(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE + job("12", "RUNNING", elapsed="1:00"))
    assert client.queue(None) == {"12": JobView("12", "RUNNING", 60, "n1")}
    client.queue("beta")
    asked = f"-t all -u {os.geteuid()} -o {parse.QUEUE_FIELDS}"
    assert tools.calls("squeue") == [asked, f"-M beta {asked}"]


def test_an_answer_that_speaks_of_an_error_is_none(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE, "squeue: error: x\n")
    with pytest.raises(SchedulerError, match=r"^squeue: x$"):
        client.queue(None)
    tools.answer("squeue", QUEUE, "a banner\n")
    assert client.queue(None) == {}
    tools.answer("squeue", QUEUE, "a banner\n", 1)
    with pytest.raises(SchedulerError, match=r"^squeue: a banner$"):
        client.queue(None)


def test_what_is_not_utf_8_is_replaced(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE)
    line = job("12", "RUNNING", comment="caf?").encode().replace(b"?", b"\xe9")
    (tools.folder / "squeue.out").write_bytes(QUEUE.encode() + line)
    assert client.queue(None)["12"].comment == "caf\N{REPLACEMENT CHARACTER}"


def test_a_cluster_that_slurm_does_not_know_is_told_from_one_that_is_down(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("squeue", "", UNKNOWN, 1)
    with pytest.raises(UnknownClusterError, match="No cluster 'beta' known"):
        client.queue("beta")
    with pytest.raises(SchedulerError) as caught:
        client.queue(None)
    assert not isinstance(caught.value, UnknownClusterError)
    tools.answer("squeue", "", DOWN, 1)
    with pytest.raises(SchedulerError) as caught:
        client.queue("beta")
    assert not isinstance(caught.value, UnknownClusterError)


def test_the_accounting_is_asked_for_each_job_once(client: SlurmClient, tools: Tools) -> None:
    tools.answer(
        "sacct", f"{ACCOUNT}12_0|COMPLETED|5|n1|0\n7|CANCELLED by 0|0|None assigned|None\n"
    )
    found = client.accounting("beta", ["12_0", "12_1", "7_3"])
    assert found.keys() == {"12_0", "7", "7_3"}
    assert tools.calls("sacct") == [f"-M beta -X -P -o {parse.ACCOUNT_FIELDS} -j 12,7"]
    assert client.accounting(None, []) == {}
    assert client.calls["sacct"] == 1


# scontrol show config, sacctmgr


def test_the_configuration_of_a_cluster_is_asked_for_once(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("scontrol", f"{CONFIG}MaxArraySize = 1001\nClusterName = alpha\nEmpty =\n")
    assert client.setting("MaxArraySize", None) == "1001"
    assert client.setting("ClusterName", None) == "alpha"
    assert tools.calls("scontrol") == ["show config"]
    for name in ("Empty", "Missing"):
        with pytest.raises(SchedulerError, match=f"there is no {name}"):
            client.setting(name, None)
    client.config("beta")
    assert tools.calls("scontrol") == ["show config", "-M beta show config"]


def test_a_configuration_of_an_unknown_cluster(client: SlurmClient, tools: Tools) -> None:
    tools.answer("scontrol", "", UNKNOWN.replace("squeue", "scontrol"), 1)
    with pytest.raises(UnknownClusterError):
        client.config("beta")


def test_the_known_clusters_are_listed_and_none_without_slurmdbd(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("sacctmgr", "alpha\n\n beta \n")
    assert client.clusters() == ["alpha", "beta"]
    assert tools.calls("sacctmgr") == ["-n -P show clusters format=cluster"]
    tools.answer("sacctmgr", "", "sacctmgr: error: down\n", 1)
    assert client.clusters() == []


# scontrol release


def test_jobs_are_released_with_one_call_for_each_cluster(
    client: SlurmClient, tools: Tools
) -> None:
    client.release([one("1"), one("2"), one("9", "beta"), one("1")])
    assert tools.calls("scontrol") == ["release 1,2", "-M beta release 9"]
    assert tools.calls("squeue") == []
    client.release([])
    assert len(tools.calls("scontrol")) == 2


def test_many_jobs_are_released_in_batches(client: SlurmClient, tools: Tools) -> None:
    client.release([one(str(number)) for number in range(1001)])
    assert [len(call.split(",")) for call in tools.calls("scontrol")] == [500, 500, 1]


def test_a_release_that_fails_counts_only_where_a_job_is_still_held(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("scontrol", "", "scontrol: error: job 1 finished\n", 1)
    tools.answer("squeue", QUEUE + job("1", "COMPLETED") + job("2_0", "RUNNING"))
    client.release([one("1"), one("2")])
    held = [
        job("2_[0-3]", "PENDING", "JobHeldUser").replace("|[0-3]|", "|0-3|"),
        job("2", "PENDING", "JobHeldAdmin"),
    ]
    for line in held:
        tools.answer("squeue", QUEUE + line)
        with pytest.raises(SchedulerError, match=r"^scontrol: .*job 1 finished$"):
            client.release([one("1"), one("2")])
    for line in (job("3", "PENDING", "JobHeldUser"), job("2", "CANCELLED", "JobHeldUser"),
                 job("2", "PENDING", "Priority")):  # fmt: skip
        tools.answer("squeue", QUEUE + line)
        client.release([one("1"), one("2")])


# scancel


def left(client: SlurmClient, *jobs: JobRef) -> dict[str, str]:
    return {str(job): why for job, why in client.cancel(jobs).items()}


def test_jobs_that_the_queue_shows_as_gone_are_cancelled(client: SlurmClient, tools: Tools) -> None:
    gone = job("1", "CANCELLED") + job("2_0", "COMPLETING") + job("8", "RUNNING")
    tools.answer("squeue", QUEUE + gone)
    assert left(client, one("1"), one("2"), one("3"), one("1")) == {}
    assert tools.calls("scancel") == ["1 2 3"]
    assert len(tools.calls("squeue")) == 1


def test_each_cluster_is_cleared_by_itself(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", "", DOWN, 1)
    tools.answer("squeue", QUEUE, call=4)
    assert left(client, one("1", "beta"), one("1")) == {
        "1@beta": "no answer: squeue: slurm_load_jobs error: Unable to contact slurm controller"
        " (connect failure)"
    }
    assert tools.calls("scancel") == ["-M beta 1"] * 3 + ["1"]


def test_what_is_still_there_is_tried_three_times_and_told_with_the_reason(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("squeue", QUEUE + job("1", "RUNNING") + job("2", "CANCELLED"))
    tools.answer("scancel", "", "scancel: error: Kill job error on job id 1: Access denied\n", 1)
    assert left(client, one("1"), one("2")) == {
        "1": "still RUNNING, scancel: Kill job error on job id 1: Access denied"
    }
    assert tools.calls("scancel") == ["1 2", "1", "1"]


def test_what_goes_at_the_second_try_is_gone(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE + job("1", "RUNNING"), call=1)
    tools.answer("squeue", QUEUE, call=2)
    assert left(client, one("1")) == {}
    assert len(tools.calls("scancel")) == 2


def test_what_answers_at_the_second_try_is_gone(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", "", DOWN, 1, call=1)
    tools.answer("squeue", QUEUE, call=2)
    assert left(client, one("1")) == {}
    assert tools.calls("scancel") == ["1", "1"]


def test_on_a_cluster_that_slurm_does_not_know_there_is_nothing_to_cancel(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("squeue", "", UNKNOWN, 1)
    assert left(client, one("1", "beta")) == {}
    assert len(tools.calls("scancel")) == 1


def test_an_array_is_there_as_long_as_a_task_is(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE + job("1_0", "CANCELLED") + job("1_2", "PENDING"))
    assert left(client, one("1")) == {"1": "still PENDING, and scancel printed nothing"}
    assert left(client, one("1_0"), one("1_1")) == {}


def test_what_scancel_says_of_other_jobs_is_not_a_reason(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE + job("1", "RUNNING") + job("1_2", "RUNNING"))
    other = "scancel: error: Kill job error on job id 12: Invalid\n"
    task = "scancel: error: Kill job error on job id 1_2: No\n"
    tools.answer("scancel", "", other + task)
    assert left(client, one("1"), one("1_2")) == {
        "1": "still RUNNING, and scancel printed nothing",
        "1_2": "still RUNNING, scancel: Kill job error on job id 1_2: No",
    }
    tools.answer("scancel", "", f"{other}scancel: error: slurm is busy\n")
    assert left(client, one("1")) == {"1": "still RUNNING, scancel: slurm is busy"}


def test_a_scancel_that_fails_without_words_is_told_by_its_exit_code(
    client: SlurmClient, tools: Tools
) -> None:
    tools.answer("squeue", QUEUE + job("1", "RUNNING"))
    tools.answer("scancel", "", "\n", 5)
    assert left(client, one("1")) == {"1": "still RUNNING, scancel: scancel ended with exit code 5"}


def test_a_scancel_that_gives_no_answer_is_a_reason_too(tools: Tools) -> None:
    client = SlurmClient(timeout_s=1, cancel_pause_s=0)
    tools.answer("squeue", QUEUE + job("1", "RUNNING"))
    tools.answer("scancel", wait_s=5)
    tools.answer("scancel", "", "", call=2)
    tools.answer("scancel", "", "", call=1, wait_s=5)
    tools.answer("scancel", "", "", call=3, wait_s=5)
    assert left(client, one("1")) == {"1": "still RUNNING, scancel: scancel gave no answer in 1 s"}


def test_many_jobs_are_cancelled_in_batches(client: SlurmClient, tools: Tools) -> None:
    tools.answer("squeue", QUEUE)
    assert left(client, *(one(str(number)) for number in range(501))) == {}
    assert [len(call.split()) for call in tools.calls("scancel")] == [500, 1]


def test_between_two_tries_there_is_a_pause(tools: Tools, pauses: list[float]) -> None:
    tools.answer("squeue", QUEUE + job("1", "RUNNING"))
    left(SlurmClient(cancel_pause_s=0.3), one("1"))
    assert pauses == [0.3, 0.3]


def test_a_slow_slurm_is_not_tried_again_after_fifteen_seconds(
    client: SlurmClient, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    def clock() -> float:
        now[0] += 8
        return now[0]

    tools.answer("squeue", QUEUE + job("1", "RUNNING"))
    monkeypatch.setattr("time.monotonic", clock)
    left(client, one("1"))
    assert len(tools.calls("scancel")) == 2
