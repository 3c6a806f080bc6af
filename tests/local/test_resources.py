"""As many steps at once as fit, each with GPUs of its own, the critical path first."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.local.project import Project, by_name, chain, parallel


def most_at_once(rows: list[dict[str, Any]]) -> int:
    times = [(row["start"], 1) for row in rows] + [(row["end"], -1) for row in rows]
    most = now = 0
    for _, change in sorted(times):
        now += change
        most = max(most, now)
    return most


def spans(project: Project) -> dict[str, dict[str, Any]]:
    return by_name(project.lines("spans"))


def test_every_gpu_has_one_step_at_a_time_and_no_step_sees_anothers(project: Project) -> None:
    gpu = {"func": "span", "seconds": 0.4, "slurm": {"gpus_per_node": 1}}
    steps: dict[str, Any] = {f"one{i}": gpu for i in range(6)}
    steps["two"] = {**gpu, "slurm": {"gpus_per_node": 2}}
    steps["none"] = {"func": "span", "seconds": 0.1}
    project.plan(steps, parallel(*steps))
    done = project.planit("submit", "plan=p", "backend=local", "backend.gpus=3", "backend.cpus=9")
    assert done.code == 0, done
    rows = spans(project)
    assert rows.pop("none")["gpus"] == ""
    assert len(rows["two"]["gpus"].split(",")) == 2
    used = {gpu for row in rows.values() for gpu in row["gpus"].split(",")}
    assert used == {"0", "1", "2"}
    for gpu in used:
        turns = [row for row in rows.values() if gpu in row["gpus"].split(",")]
        turns.sort(key=lambda row: row["start"])
        assert all(one["end"] <= two["start"] for one, two in pairwise(turns)), turns
    assert most_at_once([row for name, row in rows.items() if name != "two"]) >= 2


def test_the_gpus_are_those_that_planit_may_use(project: Project) -> None:
    project.plan({"a": {"func": "span", "seconds": 0, "slurm": {"gpus_per_node": 1}}}, chain("a"))
    env = {"CUDA_VISIBLE_DEVICES": "GPU-5,GPU-6"}
    for words in ((), ("backend.gpus=1",)):
        assert project.planit("submit", "plan=p", "backend=local", *words, env=env).code == 0
        assert spans(project)["a"]["gpus"] == "GPU-5"


def test_as_many_steps_as_fit_run_at_once_and_the_longest_way_goes_first(
    project: Project,
) -> None:
    wide = {"func": "span", "seconds": 0.5, "slurm": {"cpus_per_task": 2}}
    thin = {"func": "span", "seconds": 0.5, "slurm": {"mem_gb": 1, "time": "1"}}
    steps: dict[str, Any] = {f"thin{i}": thin for i in range(4)}
    steps |= {"wide": wide, "tail": {**wide, "slurm": {"cpus_per_task": 2, "time": "60"}}}
    project.plan(steps, parallel(*(f"thin{i}" for i in range(4)), chain("wide", "tail")))
    done = project.planit("submit", "plan=p", "backend=local", "backend.cpus=4", "backend.mem_gb=2")
    assert done.code == 0, done
    rows = spans(project)
    assert all(rows["wide"]["start"] <= row["start"] + 0.1 for row in rows.values())
    narrow = [row for name, row in rows.items() if name.startswith("thin")]
    assert most_at_once(narrow) == 2  # memory for two
    assert most_at_once(list(rows.values())) == 3
