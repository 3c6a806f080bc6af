"""A backend is made from its name and settings, or from the run that it was submitted with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from planit import ConfigError, Run
from planit.backends import registry
from planit.backends.base import Backend, CachedQueue
from planit.backends.in_process import InProcess
from planit.backends.local.backend import LocalBackend
from planit.backends.slurm.backend import SlurmBackend
from planit.errors import RunError, SchedulerError
from planit.record import context, submissions
from planit.record.context import Context
from planit.record.jobs import JobView
from planit.record.run_dir import RunDir
from tests.helpers import run_python


def made(name: str, **settings: Any) -> Backend:
    backend = registry.create(name, settings)
    assert not isinstance(backend, InProcess)
    return backend


def recorded(base: Path, settings: dict[str, Any]) -> RunDir:
    """A run whose record says that it was submitted with this backend."""
    run = RunDir.create(base, "p")
    context.write(run.path, 1, Context(backend=settings))  # killed before it wrote its stages
    return run


@pytest.mark.parametrize(
    "backend",
    [
        SlurmBackend(kill_on_invalid_dep=False, python="apptainer exec x.sif python3"),
        LocalBackend(cpus=3, isolation="spawn", python="/opt/python"),
    ],
    ids=["slurm", "local"],
)
def test_what_submitted_a_run_resumes_it(tmp_path: Path, backend: Backend) -> None:
    run = recorded(tmp_path, {"name": backend.name, **backend.settings()})
    again = Run(run.path).backend
    assert type(again) is type(backend)
    assert again.settings() == backend.settings()
    if isinstance(again, LocalBackend):
        assert again.client.source == run.path
    newer = again.with_settings({"python": "/newer/python"})
    for number in (1, 2):
        submissions.write(run.path, number, [])
    context.write(run.path, 2, Context(backend={"name": newer.name, **newer.settings()}))
    assert Run(run.path).backend.settings()["python"] == "/newer/python"


@pytest.mark.parametrize("name", ["slurm", "local", "debug"])
def test_every_backend_has_its_own_name(name: str) -> None:
    assert registry.create(name).name == name


def test_settings_are_those_that_were_given() -> None:
    given = {"cpus": 3, "gpus": 0, "mem_gb": 2.5, "isolation": "spawn", "kill_wait_s": 1}
    assert made("local", **given).settings() == {**given, "python": LocalBackend().python}
    slurm = made("slurm", kill_on_invalid_dep=False, python="p3")
    assert slurm.settings() == {
        "kill_on_invalid_dep": False,
        "python": "p3",
        "dependency": None,
    }


@pytest.mark.parametrize(
    ("name", "settings", "message", "hint"),
    [
        ("slrum", {}, "backend.name=slrum is unknown", "did you mean slurm?"),
        ("local", {"cpu": 1}, "backend.cpu is not a setting of backend=local", "mean cpus?"),
        ("slurm", {"cpus": 1}, "backend.cpus is not a setting of backend=slurm", "python"),
        ("auto", {"gpu": 1}, "backend.gpu is not a setting of backend=auto", "mean gpus?"),
        ("debug", {"cpus": 1}, "backend.cpus is not a setting of backend=debug", "known: none"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(
    name: str, settings: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        registry.create(name, settings)
    assert caught.value.message == message
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("slurm", {"kill_on_invalid_dep": "maybe"}, "must be true or false, not 'maybe'"),
        ("local", {"cpus": 0}, "cpus must be a number of at least 1, not 0"),
        ("local", {"isolation": "frok"}, "isolation=frok is unknown"),
    ],
)
def test_a_value_that_is_not_of_its_kind_is_refused_also_as_a_change(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        registry.create(name, settings)
    with pytest.raises(ConfigError, match=message):
        made(name).with_settings(settings)


def test_a_change_of_settings_leaves_the_backend_and_its_other_settings_alone() -> None:
    before = made("local", cpus=2, python="p3")
    after = before.with_settings({"cpus": 5})
    assert (before.settings()["cpus"], after.settings()["cpus"]) == (2, 5)
    assert after.settings() == {**before.settings(), "cpus": 5}
    with pytest.raises(ConfigError, match="is not a setting of backend=local"):
        before.with_settings({"detach": True})


def test_auto_is_slurm_where_there_is_sbatch_and_takes_the_settings_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    both = {"kill_on_invalid_dep": False, "cpus": 2}
    assert registry.create("auto", both).name == "local"
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\n")
    sbatch.chmod(0o755)
    there = registry.create("auto", both)
    assert isinstance(there, SlurmBackend)
    assert there.kill_on_invalid_dep is False


def test_a_run_of_a_backend_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"backend\.name=pbs is unknown"):
        Run(recorded(tmp_path, {"name": "pbs"}).path)
    with pytest.raises(RunError, match="the backend debug, which keeps no runs"):
        Run(recorded(tmp_path, {"name": "debug"}).path)


@pytest.mark.parametrize("name", ["slurm", "local"])
def test_only_a_run_on_this_machine_can_end_with_this_process(name: str, tmp_path: Path) -> None:
    backend = made(name)
    backend.open_run(tmp_path)
    assert backend.attached_run() is None
    assert backend.attached().attached_run() is None  # nothing was submitted
    assert backend.attached().settings() == backend.settings()


def test_making_a_backend_loads_neither_the_others_nor_submitit(tmp_path: Path) -> None:
    code = """
import sys
from planit.backends import registry
assert not [name for name in sys.modules if name.startswith("planit.backends.slurm")]
registry.create("slurm", {"python": "p3"})
loaded = [n for n in sys.modules if n.startswith(("planit.backends.local", "submitit"))]
sys.exit(f"loaded: {loaded}" if loaded else 0)
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


class Clusters:
    """A client of a cluster that answers and one that does not."""

    source = "x"

    def __init__(self) -> None:
        self.asked: list[str | None] = []

    def queue(self, cluster: str | None) -> dict[str, JobView]:
        self.asked.append(cluster)
        if cluster == "down":
            raise SchedulerError("no answer")
        return {"1": JobView("1", "RUNNING")}

    def accounting(self, cluster: str | None, keys: Any) -> dict[str, JobView]:
        return {key: JobView(key, "FAILED") for key in keys}

    def cancel(self, jobs: Any) -> dict[Any, str]:
        return dict.fromkeys(jobs, "still there")


def test_each_cluster_is_asked_for_its_queue_once_whether_it_answers_or_not() -> None:
    client = Clusters()
    cached = CachedQueue(client)
    for _ in range(3):
        assert cached.queue(None)["1"].state == "RUNNING"
        with pytest.raises(SchedulerError, match="no answer"):
            cached.queue("down")
    assert client.asked == [None, "down"]
    assert cached.accounting(None, ["2"])["2"].state == "FAILED"
    assert cached.cancel(["3"]) == {"3": "still there"}  # type: ignore[list-item, comparison-overlap]


def test_a_dependency_on_a_job_of_slurms_needs_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert made("auto", dependency=None).name == "local"
    with pytest.raises(ConfigError, match=r"backend\.dependency needs Slurm"):
        made("auto", dependency="afterok:1")
