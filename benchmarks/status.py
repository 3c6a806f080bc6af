"""Asking a run how it is: scheduler calls, and the seconds besides them.

The limit is two calls (one squeue, one sacct) for any number of steps; the goals are 0.7 s besides
the calls for 20,000 steps, 0.2 s when they have ended and were looked at before, and linear growth.
"calls" are seconds spent in Slurm's clients, "rest" is planit's own work; a loaded machine hardly
changes its CPU time. Runs of two forms are submitted to a private Slurm that starts nothing: a
sweep (job arrays) and chains that do not stack (single jobs). End markers are then written as the
jobs' worker would. The rows that follow one another look at the same run; "forgotten" is when the
rest was cancelled so long ago that only slurmdbd knows of it.

    python -m benchmarks.status [--quick] [--large]
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

from benchmarks.measuring import Slurm, arguments, print_table, private_slurm, say, scratch
from planit.backends.slurm.backend import SlurmBackend
from planit.backends.slurm.client import SlurmClient
from planit.nodes import Chain, Node, Parallel, SlurmArgs, Step, tasks
from planit.record import history as histories
from planit.record.markers import (
    EndMarker,
    JobIdentity,
    Outcome,
    StepError,
)
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles
from planit.status.run_status import run_status
from planit.status.states import RunStatus
from planit.submit.new import NewRun

CHAIN_LENGTH = 50


def sweep(count: int) -> Node:
    """Steps that go in as job arrays."""
    cpu = SlurmArgs("01:00:00", "batch")
    return Parallel(*[Step(f"train_{i}", abs, cpu, i) for i in range(count)])


def chains(count: int) -> Node:
    """Chains of steps; each chain has a wall time of its own, so nothing stacks."""
    made = []
    for chain in range(count // CHAIN_LENGTH):
        cpu = SlurmArgs(f"1-{chain // 60:02}:{chain % 60:02}", "batch")
        made.append(Chain(*[Step(f"c{chain}_{i}", abs, cpu, i) for i in range(CHAIN_LENGTH)]))
    return Parallel(*made)


@dataclass(frozen=True)
class Look:
    """One look at a run: the calls, the seconds in them and besides them, planit's CPU time."""

    calls: dict[str, int]
    calls_s: float
    rest_s: float
    cpu_s: float
    status: RunStatus


def measure(path: Path, repeats: int, forget: Callable[[], None]) -> Look:
    """The median look; `forget` undoes what a look leaves behind."""
    looks = []
    for _ in range(repeats):
        forget()
        looks.append(_look(path))
    middle = median(one.cpu_s for one in looks)
    return min(looks, key=lambda one: abs(one.cpu_s - middle))


def _look(path: Path) -> Look:
    client = SlurmClient()
    with timed_calls() as spent:
        start, cpu = time.perf_counter(), time.process_time()
        status = run_status(RunDir(path), client)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Look(dict(client.calls), sum(spent), seconds - sum(spent), cpu, status)


@contextlib.contextmanager
def timed_calls() -> Iterator[list[float]]:
    """Collect the seconds of each subprocess.run."""
    spent: list[float] = []
    run = subprocess.run

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return run(*args, **kwargs)
        finally:
            spent.append(time.perf_counter() - start)

    with mock.patch("subprocess.run", timed):
        yield spent


def finish(path: Path, status: RunStatus, share: float) -> None:
    """Write the markers of the first `share` of the steps, as if they had run; one in 50 failed."""
    places = histories.read(RunDir(path)).places
    with mock.patch("os.fsync", return_value=None):  # not what is measured
        for number, step in enumerate(status.steps[: int(len(status.steps) * share)]):
            files = TaskFiles(path, *places[step.name][-1])
            job = JobIdentity(step.job, host="n1", node="n1")
            end = EndMarker(Outcome.SUCCEEDED, 0, job, 1.0, 61.0, 60.0, peak_memory_bytes=10**9)
            if number % 50 == 49:
                error = StepError("ValueError", "no", "...")
                end = replace(end, outcome=Outcome.FAILED, exit_code=1, error=error)
            files.write_end(0, end)


def rows_of(
    slurm: Slurm, shape: str, root: Node, base: Path, repeats: int
) -> list[tuple[str, ...]]:
    """Submit a plan and look at it at several points of its life."""
    count = sum(1 for _ in tasks(root))
    say(f"submitting {count:,} steps ({shape})")
    start = time.perf_counter()
    run, _ = NewRun(plan=shape, root=root, base=base, backend=SlurmBackend()).start()
    say(f"submitted in {time.perf_counter() - start:.1f} s")
    known = run.path / "states.json"

    def cells(state: str, forget: Callable[[], None]) -> tuple[str, ...]:
        say(f"looking: {state}")
        seen = measure(run.path, repeats, forget)
        calls = "+".join(f"{n} {tool}" for tool, n in seen.calls.items()) or "none"
        states = ", ".join(f"{n:,} {state}" for state, n in sorted(seen.status.counts.items()))
        each = f"{seen.cpu_s / count * 1e6:.0f}"
        times = (f"{seen.calls_s:.3f}", f"{seen.rest_s:.3f}", f"{seen.cpu_s:.3f}", each)
        return (f"{shape}: {state}", f"{count:,}", calls, *times, states)

    def forget() -> None:
        known.unlink(missing_ok=True)

    result = [cells("waiting", forget), cells("waiting, looked before", lambda: None)]
    finish(run.path, run_status(run, SlurmClient()), 0.5)
    result.append(cells("half ended", forget))
    slurm.forget()
    result.append(cells("half ended, half forgotten", forget))
    finish(run.path, run_status(run, SlurmClient()), 1.0)
    result.append(cells("all ended", forget))
    result.append(cells("all ended, looked before", lambda: None))
    return result


def main() -> None:
    options = arguments(__doc__, large="20,000 single jobs too (minutes to submit)")
    repeats = 1 if options.quick else 3
    plans: list[tuple[str, Callable[[int], Node], int]] = [("sweep", sweep, 2_000)]
    if not options.quick:
        plans += [("sweep", sweep, 20_000), ("chains", chains, 2_000)]
    if options.large:
        plans.append(("chains", chains, 20_000))
    table: list[tuple[str, ...]] = []
    folder = scratch()
    with private_slurm(min_job_age=2) as slurm:
        os.environ["SLURM_CONF"] = str(slurm.cluster.conf)
        for number, (shape, make, count) in enumerate(plans):
            table += rows_of(slurm, shape, make(count), folder / str(number), repeats)
            slurm.clear()
    head = ("run", "steps", "calls", "calls s", "rest s", "rest CPU s", "us/step", "states")
    print_table(head, table)


if __name__ == "__main__":
    main()
