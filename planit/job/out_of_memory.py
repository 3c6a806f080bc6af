"""Was a process of this job ended because the job had used up its memory?"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from planit.job.ending import EXIT_SIGKILL
from planit.record.task_files import TaskFiles

_NEARLY = 0.9  # of the job's memory: the peak is not measured at the very end
_TAIL_BYTES = 2048
_IN_LOG = re.compile(r"Out Of Memory|oom[-_]kill", re.IGNORECASE)  # srun and slurmstepd


def was_out_of_memory(
    files: TaskFiles, code: int, *, of_children: bool, environ: Mapping[str, str] = os.environ
) -> bool:
    """By the kernel's count, by srun's words, or by the peak of the process that was killed.

    Args:
        files: the task's files.
        code: the exit code of the step's process, or of srun.
        of_children: whether the step's process was a child of this one.
        environ: where Slurm says how much memory the job has.
    """
    if code == EXIT_SIGKILL and (oom_kills() or (of_children and _reached_limit(environ))):
        return True
    return code in (1, EXIT_SIGKILL) and _is_in_log(files)


def oom_kills(proc: Path = Path("/proc"), mounted: Path = Path("/sys/fs/cgroup")) -> int:
    """How many processes of this job the kernel has ended for their memory; 0 if nobody counts."""
    found = 0
    for folder in _of_job(proc, mounted):
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                match = re.search(r"^oom_kill (\d+)$", (folder / name).read_text(), re.MULTILINE)
                found = max(found, int(match[1]) if match else 0)
    return found


def kernel_kills(vmstat: Path = Path("/proc/vmstat")) -> int:
    """How many processes of this machine the kernel has ended for their memory (since 4.13)."""
    with suppress(OSError):
        match = re.search(r"^oom_kill (\d+)$", vmstat.read_text(), re.MULTILINE)
        return int(match[1]) if match else 0
    return 0


def _of_job(proc: Path, mounted: Path) -> Iterator[Path]:
    """This process's cgroups up to that of the job (cgroups manual, v1 and v2)."""
    lines: list[str] = []
    with suppress(OSError):
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if "/job_" not in path or controllers not in ("", "memory"):
            continue
        folder = mounted / controllers / path.lstrip("/")
        yield folder
        while not folder.name.startswith("job_"):
            folder = folder.parent
            yield folder


def _reached_limit(environ: Mapping[str, str]) -> bool:
    limit = environ.get("SLURM_MEM_PER_NODE", "")
    peak_kb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return limit.isdecimal() and peak_kb >= _NEARLY * int(limit) * 1024


def _is_in_log(files: TaskFiles) -> bool:
    try:
        tail = files.log().read_bytes()[-_TAIL_BYTES:]
    except OSError:
        return False
    return _IN_LOG.search(tail.decode(errors="replace")) is not None
