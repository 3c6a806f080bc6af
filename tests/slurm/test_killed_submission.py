"""A submission that is killed with SIGKILL at each of its points, or loses its sbatch's answer."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import pytest

from planit import Chain, Parallel, Run
from planit.errors import RunError, StepsFailedError, SubmissionError
from planit.record import index
from tests.cluster import Cluster
from tests.slurm.tools import (
    Script,
    in_queue,
    lines,
    note,
    planit,
    settled,
    slurm_says,
    states,
    submit,
    until,
    wrapped,
)

pytestmark = pytest.mark.slurm

# Kills itself when it is about to write the n-th event of the journal. In between are the calls of
# sbatch and scontrol, so all points of a submission are reached.
KILLED = """
import os, signal, sys
from pathlib import Path
from planit.record.journal import Journal
from tests.slurm.test_killed_submission import plan
from tests.slurm.tools import submit
base, last = Path(sys.argv[1]), int(sys.argv[2])
append, seen = Journal.append, []
def append_or_die(self, event, **fields):
    seen.append(event)
    if len(seen) > last:
        os.kill(os.getpid(), signal.SIGKILL)
    append(self, event, **fields)
Journal.append = append_or_die
if len(sys.argv) > 3:
    from planit import Run
    Run.open(base=base).resume()
else:
    submit(base, plan(base))
"""
EVENTS = ["submission", "intent", "submitted", "intent", "submitted", "intent", "submitted"]
POINTS = range(len(EVENTS) + 1)  # the last: after the release, before its event
RELEASED = len(EVENTS)


def plan(base: Path) -> Chain:
    """Three stages, one of them an array."""
    middle = Parallel(note("b0", base / "ran"), note("b1", base / "ran"))
    return Chain(note("a", base / "ran"), middle, note("c", base / "ran"))


def queue_is_clear(run: Run) -> bool:
    return not [line for line in in_queue(run) if "CANCELLED" not in line]


def killed_at_each_point(folder: Path, *words: str) -> dict[int, Run]:
    """One run for each point, killed there; all at once."""
    bases = {point: folder / str(point) for point in POINTS}
    for base in bases.values():
        base.mkdir(exist_ok=True)
    processes = [
        Script(folder, KILLED).start(str(base), str(point), *words) for point, base in bases.items()
    ]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL, err
    return {point: Run.open(base=base) for point, base in bases.items()}


def test_killed_submission_is_shown_and_resume_finishes_it_once(
    slurm: Cluster, tmp_path: Path
) -> None:
    runs = killed_at_each_point(tmp_path)
    for point, run in runs.items():
        if point == RELEASED:
            continue
        shown = planit(run.path.parents[1], "status")
        assert "Incomplete submission: nothing of it runs" in shown.out
        assert run.status().incomplete
        assert lines(run.path.parents[1] / "ran") == []
        with pytest.raises(RunError, match="stopped in the middle"):
            run.wait()
    for run in runs.values():
        run.resume()
    for point, run in runs.items():
        assert set(settled(run).values()) == {"DONE"}, point
        assert not run.status().incomplete
        ran = lines(run.path.parents[1] / "ran")
        assert (ran[0], sorted(ran[1:3]), ran[3:]) == ("a", ["b0", "b1"], ["c"]), point
        assert run.resume(dry_run=True)[0].reason == "done"


def test_killed_submission_is_cleared_by_cancel(slurm: Cluster, tmp_path: Path) -> None:
    runs = killed_at_each_point(tmp_path)
    for point, run in runs.items():
        base = run.path.parents[1]
        done = planit(base, "cancel")
        assert done.code == 0
        if point < RELEASED:
            assert "Cleared an incomplete submission" in done.out
        until(partial(queue_is_clear, run))
        assert planit(base, "cancel").out.startswith("Nothing to cancel")
        if point < RELEASED:
            assert set(states(run).values()) == {"NOT_SUBMITTED"}
            assert lines(base / "ran") == []
    run = runs[3]
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    assert len(lines(run.path.parents[1] / "ran")) == 4


def test_killed_resume_is_finished_by_the_next_one(slurm: Cluster, tmp_path: Path) -> None:
    for point in POINTS:
        base = tmp_path / str(point)
        base.mkdir()
        done = submit(base, plan(base))
        done.cancel()
    runs = killed_at_each_point(tmp_path, "resume")
    for run in runs.values():
        run.resume()
    for point, run in runs.items():
        assert set(settled(run).values()) == {"DONE"}, point
        ran = lines(run.path.parents[1] / "ran")
        assert (ran[0], sorted(ran[1:3]), ran[3:]) == ("a", ["b0", "b1"], ["c"]), point


def test_root_cancelled_by_hand_in_a_killed_submission_is_submitted_again(
    slurm: Cluster, tmp_path: Path
) -> None:
    scontrol = 'case "$*" in *release*) kill -9 $PPID ;; *) real "$@" ;; esac'
    base = tmp_path / "held"
    base.mkdir()
    with wrapped(tmp_path / "bin", {"scontrol": scontrol}):
        process = Script(tmp_path, KILLED).start(str(base), "99")
        process.communicate()
    run = Run.open(base=base)
    assert run.status().incomplete
    held = run.status().steps[0]
    assert (held.state, held.cause) == ("HELD", "JobHeldUser")
    slurm_says("scancel", str(held.job))
    until(lambda: run.status().steps[0].state == "CANCELLED")
    run.resume()
    assert set(settled(run).values()) == {"DONE"}
    assert len(lines(base / "ran")) == 4


def test_accepted_but_reported_as_failed_makes_no_duplicate(slurm: Cluster, tmp_path: Path) -> None:
    for how in ("exit 1", "echo 'sbatch: error: Unable to contact slurm controller' >&2; exit 1"):
        base = tmp_path / str(len(how))
        with wrapped(tmp_path / "bin", {"sbatch": f'real "$@" >/dev/null; {how}'}):
            run = submit(base, plan(base), retry_wait_s=0.1)
        assert set(settled(run).values()) == {"DONE"}
        assert len(lines(base / "ran")) == 4


def test_sbatch_that_hangs_is_looked_up_before_it_is_repeated(
    slurm: Cluster, tmp_path: Path
) -> None:
    from planit.backends.slurm.client import SlurmClient

    once = f'if [ ! -e {tmp_path}/hung ]; then touch {tmp_path}/hung; %s sleep 30; fi; real "$@"'
    for accepted in ('real "$@";', ""):
        (tmp_path / "hung").unlink(missing_ok=True)
        base = tmp_path / f"base{len(accepted)}"
        with wrapped(tmp_path / "bin", {"sbatch": once % accepted}):
            run = submit(base, plan(base), client=SlurmClient(timeout_s=2), retry_wait_s=0.1)
        assert set(settled(run).values()) == {"DONE"}
        assert len(lines(base / "ran")) == 4


def test_refused_step_in_the_middle_leaves_nothing(slurm: Cluster, tmp_path: Path) -> None:
    from planit import SlurmArgs

    bad = note("bad", tmp_path / "ran", SlurmArgs(time="5", partition="nope"))
    with pytest.raises(SubmissionError, match=r"step 'bad' was refused.*nope") as refused:
        submit(tmp_path, Chain(plan(tmp_path), bad))
    assert refused.value.exit_code == 3
    assert "nothing is left in the queue" in str(refused.value)
    run = Run.open(base=tmp_path)
    until(partial(queue_is_clear, run))
    assert set(states(run).values()) == {"NOT_SUBMITTED"}
    assert lines(tmp_path / "ran") == []
    assert len(index.all_runs(tmp_path)) == 1
    with pytest.raises(StepsFailedError):
        run.wait()
