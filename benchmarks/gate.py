"""What a job's look at the steps before it costs, before anything of the user's runs.

The goals: a single parent under 5 ms, a join of 10,000 steps under 1 s. The limit beside it reads
one file per step and nothing else. No Slurm is needed: a record is written, and `check` is called
as the worker calls it; medians of several calls in one process.

    python -m benchmarks.gate [--quick]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.measuring import arguments, print_table, say, scratch
from planit.job import gate
from planit.record import tickets
from planit.record.jobs import JobRef
from planit.record.markers import EndMarker, Outcome
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After
from planit.record.task_files import TaskFiles

_REPEAT = 5


def record(count: int) -> RunDir:
    """A run of `count` steps that succeeded, an aligned step behind each, and a join."""
    run = RunDir.create(scratch(), "p")
    first = [(f"first{i}", f"first{i}") for i in range(count)]
    run.stage_dir(1, 0).write(first, After())
    run.stage_dir(1, 1).write(
        [(f"then{i}", f"then{i}") for i in range(count)], After([("aftercorr", 0)])
    )
    run.stage_dir(1, 2).write([("join", "join")], After([("afterok", 0)]))
    jobs = {stage: JobRef(None, str(stage)) for stage in range(3)}
    tickets.issue(run.path, 1, jobs, [])
    for index in range(count):
        files = TaskFiles(run.path, 1, 0, index)
        files.write_end(0, EndMarker(Outcome.SUCCEEDED, started=1.0, elapsed_s=1.0))
    return run


def timed_ms(act: Callable[[], object]) -> float:
    seconds = []
    for _ in range(_REPEAT):
        began = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - began)
    return 1000 * median(seconds)


def read_all(paths: list[Path]) -> None:
    for path in paths:
        path.read_bytes()


def main() -> None:
    options = arguments(__doc__)
    rows = []
    for count in (1, 100) if options.quick else (1, 100, 1_000, 10_000):
        say(f"{count} steps")
        run = record(count)
        task = gate.Place(run.path, 1, 1, count - 1, f"then{count - 1}", JobRef(None, "1"))
        join = gate.Place(run.path, 1, 2, None, "join", JobRef(None, "2"))
        files = [TaskFiles(run.path, 1, 0, i).record(0) for i in range(count)]
        limit = timed_ms(lambda files=files: read_all(files))  # type: ignore[misc]
        single = timed_ms(lambda task=task: gate.check(task, 0))  # type: ignore[misc]
        whole = timed_ms(lambda join=join: gate.check(join, 0))  # type: ignore[misc]
        rows.append((f"{count:,}", f"{single:.2f}", f"{whole:.1f}", f"{limit:.1f}"))
    print_table(("branches", "a task, ms", "the join, ms", "reading its markers, ms"), rows)


if __name__ == "__main__":
    main()
