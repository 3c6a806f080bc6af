"""Reading what squeue, sacct, scontrol and sbatch print, from recorded samples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planit.backends.base import Dependency
from planit.backends.slurm import parse
from planit.backends.slurm.backend import dependency_text
from planit.errors import SchedulerError
from planit.record.jobs import JobRef, JobView

QUEUE = "ARRAY_JOB_ID|ARRAY_TASK_ID|JOBID|STATE|TIME|NODELIST|REASON|COMMENT\n"
ACCOUNT = "JobID|State|ElapsedRaw|NodeList|Start\n"


def queue(line: str) -> list[JobView]:
    return list(parse.queue(f"{QUEUE}{line}\n").values())


def account(line: str) -> list[JobView]:
    return list(parse.accounting(f"{ACCOUNT}{line}\n").values())


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
    assert parse.seconds(text) == seconds


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
    views = queue(f"7|{text}{suffix}|7_[{text}{suffix}]|PENDING|0:00||None|t")
    assert [view.key for view in views] == [f"7_{number}" for number in ordered]


def test_a_task_list_that_slurm_has_cut_short_is_no_answer() -> None:
    with pytest.raises(SchedulerError, match="not whole"):
        queue("10|1,4,11-15,112-11...|10_[1,4,11-15,112-11...|PENDING|0:00||None|t")
    with pytest.raises(SchedulerError, match="not whole"):
        account("11_[0,2-3,94,9...]|CANCELLED by 0|0|None assigned|None")


JOB = "12|N/A|12|RUNNING|1:02|n1|None|t\n"


@pytest.mark.parametrize("before", ["", "CLUSTER: beta\n", "Welcome to\n\n* the cluster *\n"])
def test_lines_before_the_header_are_passed_over(before: str) -> None:
    assert list(parse.queue(before + QUEUE + JOB)) == ["12"]
    assert list(parse.accounting(f"{before}{ACCOUNT}12|COMPLETED|5|n1|0\n")) == ["12"]
    assert parse.config(f"{before}Configuration data as of now\nA   = b = c\n") == {"A": "b = c"}


def test_an_empty_queue_is_an_answer_if_its_header_is_there() -> None:
    assert parse.queue(QUEUE) == {}
    assert parse.accounting(ACCOUNT) == {}


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("", "no answer at all"),
        ("\n", "no answer at all"),
        (JOB, "no answer but '12"),
        ("slurm_load_jobs error: Unable to contact slurm controller\n", "no answer but 'slurm_lo"),
        (QUEUE + JOB[:9], "in the middle of a line"),
        (QUEUE.rstrip("\n"), "in the middle of a line"),
        (QUEUE + JOB + "CLUSTER: beta\n" + QUEUE + JOB, "two answers"),
    ],
)
def test_an_answer_of_squeue_that_is_not_whole_is_none(answer: str, why: str) -> None:
    with pytest.raises(SchedulerError, match=f"squeue.*{why}"):
        parse.queue(answer)


@pytest.mark.parametrize("answer", ["", "12|COMPLETED|5|n1|0\n", ACCOUNT + "12|COMPL"])
def test_an_answer_of_sacct_that_is_not_whole_is_none(answer: str) -> None:
    with pytest.raises(SchedulerError, match=r"^sacct"):
        parse.accounting(answer)


@pytest.mark.parametrize("answer", ["", "A = b\n", "Configuration data as of now\nMaxArr"])
def test_a_configuration_that_is_not_whole_is_none(answer: str) -> None:
    with pytest.raises(SchedulerError, match=r"^scontrol show config"):
        parse.config(answer)


@pytest.mark.parametrize(
    ("printed", "found"),
    [
        ("12\n", ("12", None)),
        ("12;beta\n", ("12", "beta")),
        ("Charged to acc: 4242 hours left\n12\nBe nice.\n", ("12", None)),
        ("12\nBe nice.", ("12", None)),
        ("", None),
        ("\n", None),
        ("4242\n12\n", None),
        ("12\n4242\n", None),
        ("12\n 4242 \n", None),
        ("12;beta\n4242", None),
        ("12", None),
        ("Submitted batch job 12\n", None),
    ],
)
def test_a_job_id_is_read_only_where_one_line_can_be_it(
    printed: str, found: tuple[str, str | None] | None
) -> None:
    assert parse.job_id(printed) == found


@pytest.mark.parametrize(
    ("stderr", "words"),
    [
        ("squeue: error: Invalid user: 12345\n", "Invalid user: 12345"),
        (
            "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n",
            "slurm_load_jobs error: Unable to contact slurm controller (connect failure)",
        ),
        ("motd\nsqueue: ERROR: x\n", "motd; ERROR: x"),
        ("squeue: fatal: no configuration\n", "fatal: no configuration"),
        ("", None),
        ("Maintenance on Monday. Terrorists need not apply.\n", None),
    ],
)
def test_a_tool_that_speaks_of_an_error_complains(stderr: str, words: str | None) -> None:
    assert parse.complaint(stderr) == words


UNREACHABLE = (
    "squeue: error: 'beta' can't be reached now, or it is an invalid entry for --cluster.  Use"
    " 'sacctmgr list clusters' to see available clusters.\n"
)


def test_an_unknown_cluster_is_told_from_one_that_is_down() -> None:
    assert not parse.is_unknown_cluster(UNREACHABLE)
    unknown = "squeue: error: No cluster 'beta' known by database.\n"
    assert parse.is_unknown_cluster(unknown + UNREACHABLE)
    fatal = "squeue: fatal: Could not get cluster information\n"  # 26.05 adds it
    assert parse.is_unknown_cluster(unknown + UNREACHABLE + fatal)
    assert not parse.is_unknown_cluster(UNREACHABLE + fatal)


def test_an_array_cancelled_before_it_started_is_said_of_each_of_its_tasks() -> None:
    views = parse.accounting(
        f"{ACCOUNT}12|CANCELLED by 0|0|None assigned|None\n13|RUNNING|5|n1|0\n"
    )
    found = parse.with_tasks_of_whole_arrays(views, {"12_0", "12_7", "13_1"})
    assert found.keys() == {"12", "13", "12_0", "12_7"}
    assert found["12_7"].state == "CANCELLED"


# What Slurm 26.05.5 printed, lines left out.
QUEUE_26_05 = f"""\
CLUSTER: alpha
{QUEUE}14|N/A|14|CANCELLED|0:00||DependencyNeverSatisfied|(null)
13|0-1|13_[0-1]|CANCELLED|0:00||JobHeldUser|(null)
12|4-5%2|12_[4-5%2]|PENDING|0:00||JobArrayTaskLimit|mine planit:r1:1.0
8|N/A|8|PENDING|0:00||BadConstraints|(null)
7|N/A|7|PENDING|0:00||launch failed requeued held|(null)
6|N/A|6|EXPEDITING|0:00||Nodes required for job are DOWN, DRAINED or reserved for jobs in higher\
 priority partitions|(null)
5|N/A|5|PENDING|0:00||job requeued in held state|(null)
12|1|12_1|RUNNING|0:05|n1|None|mine planit:r1:1.0
"""
ACCOUNT_26_05 = f"""\
{ACCOUNT}1|FAILED|1|n1|2026-11-28T00:01:07
14|CANCELLED|0|None assigned|None
12_0|CANCELLED by 0|2|n1|2026-11-28T00:09:07
12_1|RUNNING|5|n1|2026-11-28T00:09:07
12_[3-4%2]|PENDING|0|None assigned|Unknown
13_[0-1]|CANCELLED by 0|0|None assigned|None
22|REQUEUED|4|n1|2026-11-28T00:13:12
"""
CONFIG_26_05 = """\
Configuration data as of 2026-11-28T00:09:13
AccountingStorageBackupHost = (null)
MaxArraySize            = 1001
SLURM_VERSION           = 26.05.5
"""


def test_the_queue_of_slurm_26_05() -> None:
    views = parse.queue(QUEUE_26_05)
    assert {key: (view.state, view.is_live, view.is_held) for key, view in views.items()} == {
        "14": ("CANCELLED", False, False),
        "13_0": ("CANCELLED", False, False),
        "13_1": ("CANCELLED", False, False),
        "12_4": ("PENDING", True, False),
        "12_5": ("PENDING", True, False),
        "8": ("PENDING", True, True),
        "7": ("PENDING", True, True),
        "6": ("EXPEDITING", True, False),
        "5": ("PENDING", True, True),
        "12_1": ("RUNNING", True, False),
    }
    mine = JobView("12_1", "RUNNING", 5, "n1", None, "mine planit:r1:1.0")
    assert views["12_1"] == mine


def test_the_accounting_of_slurm_26_05() -> None:
    views = parse.accounting(ACCOUNT_26_05)
    assert {key: (view.state, view.node, view.started) for key, view in views.items()} == {
        "1": ("FAILED", "n1", True),
        "14": ("CANCELLED", None, False),
        "12_0": ("CANCELLED", "n1", True),
        "12_1": ("RUNNING", "n1", True),
        "12_3": ("PENDING", None, False),
        "12_4": ("PENDING", None, False),
        "13_0": ("CANCELLED", None, False),
        "13_1": ("CANCELLED", None, False),
        "22": ("REQUEUED", "n1", True),
    }


def test_the_configuration_of_slurm_26_05() -> None:
    assert parse.config(CONFIG_26_05)["MaxArraySize"] == "1001"


def test_dependencies_are_grouped_by_kind_and_named_once() -> None:
    def after(kind: str, number: str) -> Dependency:
        return Dependency(kind, JobRef(None, number))

    both = [after("afterok", "1"), after("aftercorr", "3"), after("afterok", "2")]
    assert dependency_text([*both, after("afterok", "1")]) == "afterok:1:2,aftercorr:3"


@pytest.mark.parametrize(
    ("state", "live", "gone"),
    [
        ("PENDING", True, False),
        ("RUNNING", True, False),
        ("A_STATE_OF_A_LATER_SLURM", True, False),
        ("EXPEDITING", True, False),
        ("COMPLETING", True, True),
        ("PREEMPTED", False, True),
        ("CANCELLED", False, True),
    ],
)
def test_a_job_whose_processes_are_being_ended_is_gone_but_not_yet_over(
    state: str, live: bool, gone: bool
) -> None:
    view = JobView("12", state)
    assert (view.is_live, view.is_gone) == (live, gone)
