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


def test_as_many_steps_run_at_once_as_cpus_and_memory_allow(project: Project) -> None:
    wide = {"func": "span", "seconds": 0.6, "slurm": {"cpus_per_task": 4}}
    thin = {"func": "span", "seconds": 0.6, "slurm": {"mem_gb": 1}}
    steps = {**{f"thin{i}": thin for i in range(4)}, **{f"wide{i}": wide for i in range(2)}}
    project.plan(steps, parallel(*steps))
    done = project.planit("submit", "plan=p", "backend=local", "backend.cpus=7", "backend.mem_gb=2")
    assert done.code == 0, done
    rows = spans(project)
    for kind, most in (("thin", 2), ("wide", 1), ("", 3)):
        assert most_at_once([row for name, row in rows.items() if kind in name]) == most, rows


def test_the_longest_way_to_the_end_goes_first(project: Project) -> None:
    step = {"func": "span", "seconds": 0}
    short, long = {**step, "slurm": {"time": "2"}}, {**step, "slurm": {"time": "60"}}
    project.plan(
        {"a": short, "first": step, "tail": long, "b": short},
        parallel("a", chain("first", "tail"), "b"),
    )
    done = project.planit("submit", "plan=p", "backend=local", "backend.cpus=1")
    assert done.code == 0, done
    assert list(spans(project)) == ["first", "tail", "a", "b"]
