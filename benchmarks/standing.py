"""What `planit.current()` costs a step of a wide sweep, in seconds.

The limit is 1 s for the ancestors of a join of 10,000 branches. "own" is a step that looks at its
own branch, "join" one behind all of them; "results" are what all branches of one step returned. The
files are read from a warm cache, and nothing else runs.

    python -m benchmarks.standing [--quick]
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from unittest import mock

from benchmarks.measuring import arguments, print_table, say, scratch
from planit.graph import Branch, lower, merge
from planit.job.standing import current
from planit.nodes import Chain, Node, SlurmArgs, Step, tasks
from planit.record.files import slugs
from planit.record.manifest import describe_run, trees_of
from planit.record.markers import EndMarker, Outcome
from planit.record.run_dir import RunDir
from planit.record.stage_dir import After
from planit.record.task_files import TaskFiles


def sweep(count: int) -> Node:
    """Branches of two steps, with a shared first one and a join."""
    cpu = SlurmArgs("01:00:00", "batch")
    first, last = Step("prepare", abs, cpu, 0), Step("compare", abs, cpu, 0)
    rows = [
        Branch(
            {"lr": str(i)},
            Chain(first, Step("train", abs, cpu, i), Step("eval", abs, cpu, i), last),
        )
        for i in range(count)
    ]
    return merge(rows, join=["compare"])


def ended(base: Path, root: Node) -> RunDir:
    """A run in which every step has returned something."""
    run = RunDir.create(base, "sweep")
    names = slugs(task.name for task, _ in tasks(root))
    run.write_manifest(describe_run("sweep", trees_of(root, root, names, None), {}))
    with mock.patch("os.fsync", return_value=None):  # not what is measured
        for stage in lower(root).stages:
            folder = run.stage_dir(1, stage.number)
            folder.write([(names[task.name], task.name) for task in stage.tasks], After())
            for index in range(len(stage.tasks)):
                end = EndMarker(Outcome.SUCCEEDED, started=1.0, ended=2.0, result={"loss": 0.5})
                TaskFiles(run.path, 1, stage.number, index).write_end(0, end)
    return run


def timed(run: RunDir, name: str, look: Callable[[], object], repeats: int) -> str:
    """The median of the seconds that a step takes to look."""
    os.environ |= {
        "PLANIT_RUN_DIR": str(run.path),
        "PLANIT_STEP": name,
        "PLANIT_STEP_DIR": str(run.step_dir("own")),
    }
    spent = []
    for _ in range(repeats):
        start = time.perf_counter()
        look()
        spent.append(time.perf_counter() - start)
    return f"{median(spent):.3f}"


def main() -> None:
    options = arguments(__doc__)
    repeats = 1 if options.quick else 5
    table = []
    for count in (1_000,) if options.quick else (100, 1_000, 10_000):
        say(f"{count:,} branches")
        run = ended(scratch(), sweep(count))
        own = timed(run, "eval[lr=7]", lambda: current().parents, repeats)
        join = timed(run, "compare", lambda: current().ancestors("train"), repeats)
        results = timed(
            run, "compare", lambda: [one.result for one in current().ancestors("train")], repeats
        )
        table.append((f"{count:,}", own, join, results))
    print_table(("branches", "own", "join", "join with results"), table)


if __name__ == "__main__":
    main()
