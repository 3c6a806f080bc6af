"""Packed jobs on the real Slurm: states while they run, and what is left of them in every end."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from planit import Chain, Command, Packed, Parallel, Run, RunError, SlurmArgs, Step
from planit.record.files import read_json
from planit.record.submissions import path_of
from tests.cluster import Cluster
from tests.slurm import steps
from tests.slurm.tools import (
    ARGS,
    begin_now,
    in_queue,
    lines,
    note,
    of_run,
    settled,
    slurm_says,
    states,
    submit,
    until,
)

pytestmark = pytest.mark.slurm

JOB = SlurmArgs(time="5", partition="batch", cpus_per_task=2)
NO_REQUEUE = SlurmArgs(
    time="5",
    partition="batch",
    cpus_per_task=2,
    additional_params={"no-requeue": True},
)
MINUTE = SlurmArgs(time="1", partition="batch", cpus_per_task=2)
STEP = SlurmArgs(time="1", partition="batch", cpus_per_task=1)


class Story:
    """A packed job of which one step waits until it is told to go on."""

    def __init__(
        self, base: Path, job: SlurmArgs = JOB, args: SlurmArgs = ARGS, before: str = "true"
    ) -> None:
        self.go, self.ran, self.parent = base / "go", base / "ran", base / "parent"
        self.bad = base / "bad"
        self.bad.touch()
        unless = (str(self.bad), str(self.ran))
        self.run = submit(
            base / "runs",
            Chain(
                Packed(
                    Parallel(
                        Chain(
                            note("first", self.ran, args),
                            Command("pause", before, args),
                            self.gate(args),
                            note("then", self.ran, args),
                        ),
                        Chain(
                            Step("fails", steps.note_unless, args, *unless, "fails"),
                            note("never", self.ran, args),
                        ),
                    ),
                    job,
                ),
                note("behind", self.ran, args),
            ),
        )

    def gate(self, args: SlurmArgs) -> Step:
        return Step("waits", steps.gate_below, args, str(self.go), str(self.parent), 600)

    def begin(self) -> None:
        """Wait until one step has failed and another one runs."""
        until(lambda: states(self.run)["fails"] == "FAILED" and lines(self.parent))

    def mend(self) -> None:
        self.bad.unlink()
        self.go.touch()


@pytest.fixture(scope="module")
def late(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One that exceeds the time limit of its job, a minute: begun with the first test."""
    story = Story(tmp_path_factory.mktemp("late"), MINUTE, STEP)
    story.bad.unlink()
    return story


@pytest.fixture(scope="module")
def longer(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The same, whose step that waits would still have time when that of the job is over."""
    story = Story(tmp_path_factory.mktemp("longer"), MINUTE, STEP, before="sleep 45")
    story.bad.unlink()
    return story


@pytest.fixture(autouse=True)
def _late_begins_early(late: Story, longer: Story) -> None:
    """See `late`."""


def rerun_of(run: Run) -> set[str]:
    return {one.step for one in run.resume() if one.action == "rerun"}


def test_the_states_of_its_steps_while_it_runs_and_what_is_refused_then(
    slurm: Cluster, tmp_path: Path
) -> None:
    story = Story(tmp_path)
    story.begin()
    assert states(story.run) == {
        "first": "DONE",
        "pause": "DONE",
        "waits": "RUNNING",
        "then": "PENDING",
        "fails": "FAILED",
        "never": "BLOCKED",
        "behind": "BLOCKED",
    }
    assert len({step.job for step in story.run.status().steps}) == 2
    with pytest.raises(RunError, match=r"cannot cancel step .*: it is packed in job"):
        story.run.cancel("fails")
    with pytest.raises(RunError, match=r"cannot rerun step .* packed in job"):
        story.run.resume()
    story.mend()
    assert settled(story.run)["then"] == "DONE"
    assert rerun_of(story.run) == {"fails", "never", "behind"}
    assert set(settled(story.run).values()) == {"DONE"}
    assert sorted(lines(story.ran)) == ["behind", "fails", "first", "never", "then"]


KILLS: dict[str, Callable[[Story], object]] = {
    "kill_9": lambda story: os.kill(int(lines(story.parent)[0]), signal.SIGKILL),
    "scancel": lambda story: slurm_says("scancel", of_run(story.run, "waits")),
    "cancel": lambda story: story.run.cancel(),
}
LEFT = {"kill_9": ("FAILED", "CANCELLED"), "scancel": ("CANCELLED", "CANCELLED")}
LEFT["cancel"] = LEFT["scancel"]


@pytest.mark.parametrize("how", KILLS)
def test_what_is_left_when_it_is_ended_and_what_a_resume_runs(
    slurm: Cluster, tmp_path: Path, how: str
) -> None:
    story = Story(tmp_path)
    story.begin()
    child = int(lines(story.parent)[0])
    KILLS[how](story)
    found = settled(story.run)
    until(lambda: not in_queue(story.run))
    assert not Path(f"/proc/{child}").exists()
    runs, waits = LEFT[how]
    assert found["first"] == "DONE"
    assert (found["waits"], found["fails"]) == (runs, "FAILED")
    assert found["then"] in ("BLOCKED", waits)
    assert found["never"] in ("BLOCKED", waits)
    assert found["behind"] in ("BLOCKED", "CANCELLED")
    story.mend()
    assert rerun_of(story.run) == {"waits", "then", "fails", "never", "behind"}
    assert set(settled(story.run).values()) == {"DONE"}
    assert sorted(lines(story.ran)) == ["behind", "fails", "first", "never", "then"]


def test_a_requeued_job_runs_what_has_not_succeeded(slurm: Cluster, tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.begin()
    slurm_says("scontrol", "requeue", of_run(story.run, "waits"))
    until(lambda: states(story.run)["waits"] == "PENDING")
    assert states(story.run)["first"] == "DONE"
    story.mend()
    until(lambda: begin_now(story.run, "waits") and story.run.status().is_final, 90)
    found = states(story.run)
    assert set(found.values()) == {"DONE"}
    assert sorted(lines(story.ran)) == ["behind", "fails", "first", "never", "then"]
    assert story.run.status().step("waits").attempt == 2


def test_it_is_spread_over_an_array_with_setup_lines_and_the_steps_own(
    slurm: Cluster, tmp_path: Path
) -> None:
    ran = tmp_path / "ran"
    job = SlurmArgs(time="5", partition="batch", cpus_per_task=2, setup=["export OF_JOB=1"])
    own = SlurmArgs(time="5", partition="batch", setup=["export OF_STEP=2"])
    text = f'echo "$OF_JOB $OF_STEP $PLANIT_STEP $SLURM_ARRAY_TASK_ID" >> {ran}'
    branches = [Command(f"c{i}", text, own if i % 2 else ARGS) for i in range(4)]
    run = submit(tmp_path / "runs", Packed(Parallel(*branches), job, jobs=2))
    assert set(settled(run).values()) == {"DONE"}
    assert sorted(lines(ran)) == ["1  c0 0", "1  c2 0", "1 2 c1 1", "1 2 c3 1"]
    jobs = {step.name: str(step.job).partition("_") for step in run.status().steps}
    assert [jobs[f"c{i}"][2] for i in range(4)] == ["0", "1", "0", "1"]
    content = read_json(path_of(run.path, 1))
    assert isinstance(content, dict)
    assert len(content["stages"]) == 1


def test_a_setup_line_of_the_job_that_fails_runs_nothing(slurm: Cluster, tmp_path: Path) -> None:
    job = SlurmArgs(time="5", partition="batch", setup=["false"])
    ran = tmp_path / "ran"
    run = submit(tmp_path / "runs", Chain(Packed(note("in", ran), job), note("out", ran)))
    assert settled(run) == {"in": "CANCELLED", "out": "BLOCKED"}
    assert not lines(ran)


def test_a_step_that_exceeds_its_own_time_limit_does_not_end_the_job(
    slurm: Cluster, late: Story
) -> None:
    found = settled(late.run, 150)
    assert found == {
        "first": "DONE",
        "pause": "DONE",
        "waits": "TIMEOUT",
        "then": "BLOCKED",
        "fails": "DONE",
        "never": "DONE",
        "behind": "BLOCKED",
    }
    late.go.touch()
    assert rerun_of(late.run) == {"waits", "then", "behind"}
    assert set(settled(late.run).values()) == {"DONE"}
    assert sorted(lines(late.ran)) == ["behind", "fails", "first", "never", "then"]


def test_when_the_time_of_the_job_is_over_what_is_done_is_done(
    slurm: Cluster, longer: Story
) -> None:
    found = settled(longer.run, 150)
    assert (found["first"], found["waits"], found["fails"]) == ("DONE", "TIMEOUT", "DONE")
    assert found["behind"] == "BLOCKED"
    assert found["then"] in ("BLOCKED", "CANCELLED")
    longer.go.touch()
    assert rerun_of(longer.run) == {"waits", "then", "behind"}
    assert set(settled(longer.run).values()) == {"DONE"}
    assert sorted(lines(longer.ran)) == ["behind", "fails", "first", "never", "then"]


def test_a_node_that_fails_takes_only_what_ran_with_it(
    slurm_alone: Cluster, tmp_path: Path
) -> None:
    story = Story(tmp_path, NO_REQUEUE)
    story.begin()
    node = slurm_says("squeue", "-h", "-j", of_run(story.run, "waits"), "-o", "%N")
    slurm_says("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        found = settled(story.run)
    finally:
        up = ["scontrol", "update", f"nodename={node}", "state=resume"]
        subprocess.run(up, check=False, capture_output=True)  # it may have come back by itself
    assert (found["first"], found["waits"], found["fails"]) == ("DONE", "NODE_FAIL", "FAILED")
    assert found["behind"] == "BLOCKED"
    story.mend()
    assert rerun_of(story.run) == {"waits", "then", "fails", "never", "behind"}
    assert set(settled(story.run).values()) == {"DONE"}
    assert sorted(set(lines(story.ran))) == ["behind", "fails", "first", "never", "then"]
