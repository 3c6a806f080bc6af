"""Reads what Slurm's command line tools print.

Only what is certainly an answer is taken for one: the header line must be there, the last line
must be whole, and nothing may speak of an error. Whatever stands before the header (a banner, the
``CLUSTER: name`` line of ``-M``) is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from planit.errors import SchedulerError
from planit.record.jobs import JobView

QUEUE_FIELDS = "%F|%K|%i|%T|%M|%N|%r|%k"  # the comment last, for it may hold the separator
_QUEUE_HEADER = "ARRAY_JOB_ID|ARRAY_TASK_ID|JOBID|STATE|"
ACCOUNT_FIELDS = "JobID,State,ElapsedRaw,NodeList,Start"
_ACCOUNT_HEADER = ACCOUNT_FIELDS.replace(",", "|")
_CONFIG_HEADER = "Configuration data as of"

_FIELD = re.compile(r"(?:^|\s)([A-Z]\w*)=(\S*)")
_JOB_ID = re.compile(r"(\d+)(?:;(\S+))?")


def complaint(stderr: str) -> str | None:
    """A tool's own words as one line, if it speaks of an error, whatever its exit code was."""
    return words(stderr) if re.search(r"\b(error|fatal)\b", stderr, re.IGNORECASE) else None


def words(stderr: str) -> str:
    """What a tool wrote on stderr, as one line."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return "; ".join(re.sub(r"^\w+: (error: )?", "", line) for line in lines)


def is_unknown_cluster(stderr: str) -> bool:
    """Whether Slurm knows no cluster of the name; one that is down is called unreachable only."""
    pattern = r"no cluster '.*' known|(invalid|unknown) cluster\b"
    return re.search(pattern, stderr, re.IGNORECASE) is not None


def job_id(stdout: str) -> tuple[str, str | None] | None:
    """Id and cluster from ``sbatch --parsable``; None if no line, or more than one, could be it.

    A site's wrapper may print lines of its own, before or after.
    """
    whole, _, torn = stdout.rpartition("\n")
    if _JOB_ID.fullmatch(torn.strip()):
        return None  # perhaps the first digits of an id
    found = [line for line in whole.splitlines() if _JOB_ID.fullmatch(line.strip())]
    match = _JOB_ID.fullmatch(found[0]) if len(found) == 1 else None
    return (match[1], match[2]) if match else None


def queue(stdout: str) -> dict[str, JobView]:
    """Jobs and array tasks by key, from squeue with QUEUE_FIELDS and its header.

    Raises:
        SchedulerError: it is not a whole answer.
    """
    lines = _below_header("squeue", stdout, _QUEUE_HEADER)
    return {view.key: view for line in lines for view in _queue_line(line)}


def accounting(stdout: str) -> dict[str, JobView]:
    """Jobs and array tasks by key, from ``sacct -X -P`` with ACCOUNT_FIELDS and its header.

    Raises:
        SchedulerError: it is not a whole answer.
    """
    lines = _below_header("sacct", stdout, _ACCOUNT_HEADER)
    return {view.key: view for line in lines for view in _account_line(line)}


def with_tasks_of_whole_arrays(views: dict[str, JobView], wanted: set[str]) -> dict[str, JobView]:
    """An array that was cancelled before it started is in the accounting as one bare id.

    That is then the answer for each of its tasks.
    """
    found = dict(views)
    for key in wanted - views.keys():
        whole = views.get(key.partition("_")[0])
        if whole is not None and whole.state == "CANCELLED" and not whole.started:
            found[key] = replace(whole, key=key)
    return found


def config(stdout: str) -> dict[str, str]:
    """The settings that ``scontrol show config`` prints.

    Raises:
        SchedulerError: it is not a whole answer.
    """
    lines = _below_header("scontrol show config", stdout, _CONFIG_HEADER)
    pairs = (line.partition("=") for line in lines)
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def records(stdout: str, kind: str) -> list[dict[str, str]]:
    """What ``scontrol -o show partition`` (or ``node``) prints: the fields of each, as text.

    Of a value with spaces (a node's OS or Reason) the first word is kept, and of a field that is
    there twice the first: a Reason, which is last, may hold any text.

    Args:
        stdout: a line for each.
        kind: the field that each line begins with, for instance "PartitionName".

    Raises:
        SchedulerError: it is not a whole answer.
    """
    if stdout and not stdout.endswith("\n"):
        raise SchedulerError("scontrol: its answer ends in the middle of a line")
    lines = [line for line in stdout.splitlines() if line.startswith(f"{kind}=")]
    if not lines and not re.search(r"^No (partitions|nodes) in the system", stdout, re.MULTILINE):
        shown = f"but {stdout.strip()[:200]!r}" if stdout.strip() else "at all"
        raise SchedulerError(f"scontrol printed no answer {shown}")
    found = []
    for line in lines:
        fields: dict[str, str] = {}
        for match in _FIELD.finditer(line):
            fields.setdefault(match[1], match[2])
        found.append(fields)
    return found


def accounts(stdout: str, cluster: str) -> list[str]:
    """A user's accounts on a cluster, the default one first.

    Args:
        stdout: ``Cluster|DefaultAccount|Account`` lines of ``sacctmgr -n -P show user withassoc``.
        cluster: its name.
    """
    rows = [line.split("|") for line in stdout.splitlines()]
    own = [row for row in rows if len(row) == 3 and row[0] == cluster and row[2]]
    names = [default for _, default, _ in own if default] + [account for *_, account in own]
    return list(dict.fromkeys(names))


def _below_header(tool: str, stdout: str, header: str) -> list[str]:
    lines = stdout.split("\n")
    for number, line in enumerate(lines):
        if line.startswith(header):
            below = lines[number + 1 :]
            if not below or below.pop():
                raise SchedulerError(f"{tool}: its answer ends in the middle of a line")
            if any(other.startswith(header) for other in below):
                raise SchedulerError(f"{tool}: two answers in one, perhaps of two clusters")
            return below
    shown = f"but {stdout.strip()[:200]!r}" if stdout.strip() else "at all"
    raise SchedulerError(f"{tool} printed no answer {shown}")


def _queue_line(line: str) -> Iterator[JobView]:
    parts = line.split("|", 7)
    if len(parts) != 8:  # the rest of a comment of several lines, or a wrapper's own line
        return
    base, index, key, state, elapsed, node, reason, comment = parts
    for one in _keys(base if "_" in key else key, index if "_" in key else None):
        yield JobView(
            one,
            state,
            seconds(elapsed),
            node or None,
            None if reason == "None" else reason,
            None if comment in ("", "(null)") else comment,
        )


def _account_line(line: str) -> Iterator[JobView]:
    parts = line.split("|")
    if len(parts) < 5:
        return
    key, state, elapsed, node, start = parts[:5]
    base, _, index = key.partition("_")
    for one in _keys(base, index or None):
        yield JobView(
            one,
            state.split()[0] if state else "UNKNOWN",
            int(elapsed) if elapsed.isdigit() else None,
            None if node in ("", "None assigned") else node,
            started=start not in ("None", "Unknown", ""),
        )


def _keys(base: str, index: str | None) -> Iterator[str]:
    """``12`` for a job; ``12_4``, ``12_5`` ... for an index expression like ``[4-9:2,12%2]``."""
    if index is None:
        yield base
        return
    for number in _expand(index.strip("[]").split("%")[0]):
        yield f"{base}_{number}"


@lru_cache(maxsize=64)
def _expand(expression: str) -> tuple[int, ...]:
    """Raises SchedulerError for an expression that Slurm has cut short: tasks are missing."""
    numbers: list[int] = []
    for part in expression.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if match is None:
            raise SchedulerError(f"the task list {expression!r} of an array is not whole")
        first, last, step = int(match[1]), match[2], match[3]
        numbers += range(first, int(last or first) + 1, int(step or 1))
    return tuple(numbers)


def seconds(text: str) -> int | None:
    """Squeue's elapsed time, ``[D-][H:]MM:SS``."""
    match = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text)
    if match is None:
        return None
    days, hours, minutes, rest = (int(part or 0) for part in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
