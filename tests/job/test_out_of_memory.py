"""What tells that a process was ended for its memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from planit.job.out_of_memory import kernel_kills, oom_kills, was_out_of_memory
from planit.record.task_files import TaskFiles

V2 = ("0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n", "", "memory.events")
V1 = (
    "9:cpu:/\n4:memory:/slurm/uid_0/job_7/step_batch/task_0\n",
    "memory",
    "memory.oom_control",
)


@pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])
def test_the_kernels_count_in_the_cgroups_of_the_job_is_found(
    tmp_path: Path, version: tuple[str, str, str]
) -> None:
    lines, controller, name = version
    proc, mounted = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(lines)
    own = mounted / controller / lines.rsplit(":", 1)[1].strip().lstrip("/")
    own.mkdir(parents=True)
    assert oom_kills(proc, mounted) == 0
    job = next(folder for folder in own.parents if folder.name == "job_7")
    (job.parent / name).write_text("oom 9\noom_kill 9\n")  # of other jobs
    assert oom_kills(proc, mounted) == 0
    (job / name).write_text("oom 1\noom_kill 1\n")
    assert oom_kills(proc, mounted) == 1


def test_a_process_outside_of_a_job_has_no_count(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/user.slice\n")
    assert oom_kills(tmp_path, tmp_path) == 0
    assert oom_kills(tmp_path / "none", tmp_path) == 0
    (tmp_path / "vmstat").write_text("nr_free_pages 5\noom_kill 3\n")
    assert kernel_kills(tmp_path / "vmstat") == 3
    assert kernel_kills(tmp_path / "none") == 0


def test_sruns_words_in_the_log_count_unless_the_step_ended_otherwise(tmp_path: Path) -> None:
    task = TaskFiles(tmp_path, 1, 0, 0)
    task.folder.mkdir(parents=True)
    assert not was_out_of_memory(task, 1, of_children=False, environ={})
    task.log().write_text("srun: error: n1: task 0: Out Of Memory\n")
    assert was_out_of_memory(task, 1, of_children=False, environ={})
    assert not was_out_of_memory(task, 3, of_children=False, environ={})
