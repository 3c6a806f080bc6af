"""What a Packed means, on every backend: its subtree, in one job or spread over several."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planit import Chain, Command, Packed, Parallel, RunError, SlurmArgs, Step
from tests.contract import work
from tests.contract.drivers import ARGS, ON_SLURM, Driver
from tests.graph.reference import ancestors
from tests.slurm.tools import lines

JOB = SlurmArgs(time="5", partition="batch", cpus_per_task=4)


@pytest.fixture(params=[ON_SLURM, "local-fork", "debug"])
def driver(request: pytest.FixtureRequest) -> Driver:
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return Driver(request.param)


def timed(name: str, folder: Path) -> Step:
    return Step(name, work.timed, ARGS, str(folder), name)


@pytest.mark.parametrize("jobs", [1, 2])
def test_packed_steps_keep_the_order_of_the_plan(driver: Driver, tmp_path: Path, jobs: int) -> None:
    folder = tmp_path / "times"
    folder.mkdir()
    root = Chain(
        timed("first", folder),
        Packed(
            Parallel(
                Chain(timed("a", folder), Parallel(timed("b", folder), timed("c", folder))),
                Chain(timed("d", folder), timed("e", folder)),
                timed("f", folder),
            ),
            JOB,
            jobs,
        ),
        timed("last", folder),
    )
    assert set(driver.run(tmp_path / "runs", root).values()) == {"DONE"}
    times = {path.stem: json.loads(path.read_text()) for path in folder.iterdir()}
    assert len(times) == 8
    for name, before in ancestors(root).items():
        for parent in before:
            assert times[parent]["end"] <= times[name]["start"], (parent, name)


def test_a_failed_packed_step_stops_what_is_behind_it_and_what_waits_for_the_job(
    driver: Driver, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"

    def note(name: str) -> Step:
        return Step(name, work.note, ARGS, str(ran), name)

    root = Chain(
        Packed(
            Parallel(
                Chain(Step("bad", work.fail, ARGS), note("x"), note("y")),
                Chain(note("sibling"), note("its_tail")),
                Chain(Command("shell", "exit 3", ARGS), note("z")),
            ),
            JOB,
        ),
        note("last"),
    )
    states = driver.run(tmp_path / "runs", root)
    assert states == {
        "bad": "FAILED", "x": "BLOCKED", "y": "BLOCKED", "sibling": "DONE", "its_tail": "DONE",
        "shell": "FAILED", "z": "BLOCKED", "last": "BLOCKED",
    }  # fmt: skip
    assert sorted(lines(ran)) == ["its_tail", "sibling"]


def test_what_packed_steps_return_is_that_of_their_jobs(driver: Driver, tmp_path: Path) -> None:
    branches = [Step(f"s{i}", work.plain, ARGS, i) for i in range(3)]
    root = Packed(Parallel(Step("pair", work.pair, ARGS, 7), *branches), JOB)
    jobs = driver.jobs(tmp_path / "runs", root)
    assert {name: job.result() for name, job in jobs.items()} == {
        "pair": (7, 0.5), "s0": 0, "s1": 2, "s2": 4,
    }  # fmt: skip
    if driver.name == "slurm":
        with pytest.raises(RunError, match="cannot cancel step 's1': it is packed in job"):
            jobs["s1"].cancel()
