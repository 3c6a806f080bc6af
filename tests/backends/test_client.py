"""Reading squeue and sacct, and what of an allocation's environment reaches Slurm's clients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit.backends.base import Dependency
from planit.backends.slurm import client
from planit.backends.slurm.backend import dependency_text
from planit.backends.slurm.client import client_env
from planit.record.jobs import JobRef, JobView


def queue(line: str) -> list[JobView]:
    return list(client._queue_line(line))


def account(line: str) -> list[JobView]:
    return list(client._account_line(line))


def test_a_single_job_in_the_queue() -> None:
    assert queue("12|N/A|12|RUNNING|1:02|n1|None|mine planit:r1:1.0") == [
        JobView("12", "RUNNING", 62, "n1", None, "mine planit:r1:1.0")
    ]


def test_a_pending_job_says_why_and_has_no_node() -> None:
    assert queue("12|N/A|12|PENDING|0:00||Dependency|(null)") == [
        JobView("12", "PENDING", 0, None, "Dependency", None)
    ]


def test_a_running_array_task_has_the_key_of_the_array() -> None:
    assert [view.key for view in queue("12|3|12_3|RUNNING|0:05|n2|None|")] == ["12_3"]


def test_pending_array_tasks_are_told_apart() -> None:
    views = queue("12|4-9:2,12%2|12_[4-9:2,12%2]|PENDING|0:00||Resources|t")
    assert [view.key for view in views] == ["12_4", "12_6", "12_8", "12_12"]
    assert {view.state for view in views} == {"PENDING"}
    assert {view.reason for view in views} == {"Resources"}


def test_a_comment_may_hold_the_separator() -> None:
    assert queue("1|N/A|1|RUNNING|0:01|n1|None|a|b planit:x:1.0")[0].comment == "a|b planit:x:1.0"


@pytest.mark.parametrize("line", ["", "CLUSTER: beta", "1|2|3", "slurm_load_jobs error: x"])
def test_noise_in_the_queues_output_is_passed_over(line: str) -> None:
    assert queue(line) == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:07", 7), ("1:02:03", 3723), ("2-00:00:01", 172801), ("INVALID", None), ("", None)],
)
def test_elapsed_times_of_the_queue(text: str, seconds: int | None) -> None:
    assert client._seconds(text) == seconds


def test_jobs_of_the_accounting() -> None:
    assert account("12|COMPLETED|5|n1|0") == [JobView("12", "COMPLETED", 5, "n1")]
    never = JobView("12_3", "CANCELLED", 0, None, started=False)
    assert account("12_3|CANCELLED by 0|0|None assigned|None") == [never]


def test_a_state_in_accounting_loses_who_cancelled_it() -> None:
    view = account("12|CANCELLED by 1000|0|None assigned|0")[0]
    assert (view.state, view.node) == ("CANCELLED", None)


def test_cancelled_array_tasks_that_never_started_are_told_apart_in_accounting() -> None:
    views = account("12_[0-2,5%256]|CANCELLED by 0|0|None assigned|0")
    assert [view.key for view in views] == ["12_0", "12_1", "12_2", "12_5"]


@pytest.mark.parametrize("line", ["", "12|COMPLETED", "x"])
def test_short_lines_of_the_accounting_are_passed_over(line: str) -> None:
    assert account(line) == []


@given(st.sets(st.integers(0, 5000), min_size=1, max_size=40), st.integers(0, 9))
def test_index_expressions_of_ranges_are_expanded(numbers: set[int], throttle: int) -> None:
    ordered = sorted(numbers)
    parts: list[list[int]] = []
    for number in ordered:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    text = ",".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts)
    suffix = f"%{throttle}" if throttle else ""
    keys = list(client._keys("7", f"[{text}{suffix}]"))
    assert keys == [f"7_{number}" for number in ordered]


def test_the_clients_get_nothing_of_an_allocation_but_what_a_site_sets_on_purpose() -> None:
    given_env = {
        "PATH": "/bin",
        "SLURM_CONF": "/etc/slurm.conf",
        "SLURM_CLUSTERS": "wice",
        "SLURM_TIME_FORMAT": "%s",
        "SBATCH_ACCOUNT": "acc",
        "SLURM_JOB_ID": "7",
        "SLURM_CPU_BIND": "mask_cpu:0x1",
        "SLURM_NTASKS": "8",
        "SLURM_MEM_PER_CPU": "100",
        "SLURMD_NODENAME": "n1",
    }
    before = dict(given_env)
    kept = client_env(given_env)
    assert given_env == before
    assert set(kept) == {
        "PATH",
        "SLURM_CONF",
        "SLURM_CLUSTERS",
        "SLURM_TIME_FORMAT",
        "SBATCH_ACCOUNT",
        "SLURMD_NODENAME",
    }


def test_the_environment_is_that_of_this_process_by_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_CONF", "/x/slurm.conf")
    assert "SLURM_JOB_ID" not in client_env()
    assert client_env()["SLURM_CONF"] == "/x/slurm.conf"


def test_dependencies_are_grouped_by_kind_and_named_once() -> None:
    def after(kind: str, number: str) -> Dependency:
        return Dependency(kind, JobRef(None, number))

    both = [after("afterok", "1"), after("aftercorr", "3"), after("afterok", "2")]
    assert dependency_text([*both, after("afterok", "1")]) == "afterok:1:2,aftercorr:3"
