"""What a TAB waits for: planit's answer to a shell, beside a bare start of Python.

300 runs, of which the latest has 2,000 steps. The goal is 50 ms for runs and steps; overrides are
composed by Hydra. Seconds are CPU time of the process, the best of many: a loaded machine hardly
changes that.

    python -m benchmarks.completion [--quick]
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.measuring import arguments, plain_env, print_table, say, scratch
from planit.nodes import Chain, Parallel, SlurmArgs, Step, tasks
from planit.record.files import slugs
from planit.record.manifest import describe_run, trees_of
from planit.record.run_dir import RunDir

ASKED = {
    "python -c pass (the limit)": ["-c", "pass"],
    "runs": ["-m", "planit", "_complete", "zsh", "status", ""],
    "runs and steps": ["-m", "planit", "_complete", "zsh", "logs", ""],
    "steps": ["-m", "planit", "_complete", "zsh", "logs", "p", "fit[lr=99"],
    "overrides (Hydra)": ["-m", "planit", "_complete", "zsh", "submit", "plan="],
}


def write_runs(base: Path, runs: int, branches: int) -> None:
    """Runs, the latest of which has two steps for each branch."""
    args = SlurmArgs("1", "batch")
    for number in range(runs):
        last = number + 1 == runs
        names = range(branches) if last else range(1)
        root = Parallel(
            *(Chain(*(Step(f"{s}[lr={i}]", abs, args, i) for s in ("fit", "eval"))) for i in names)
        )
        run = RunDir.create(base, "p", run_id=f"20261101-000000-{number:03}-0000")
        trees = trees_of(root, root, slugs(task.name for task, _ in tasks(root)), None)
        run.write_manifest(describe_run("p", trees, {}))


def cpu_seconds(words: list[str], cwd: Path) -> float:
    before = os.times()
    subprocess.run(
        [sys.executable, *words], cwd=cwd, env=plain_env(), check=True, capture_output=True
    )
    now = os.times()
    return now.children_user + now.children_system - before.children_user - before.children_system


def main() -> None:
    options = arguments(__doc__)
    times = 5 if options.quick else 30
    folder = scratch()
    write_runs(folder / "planit_runs", 300, 1000)
    rows = []
    for name, words in ASKED.items():
        say(name)
        best = min(cpu_seconds(words, folder) for _ in range(times))
        rows.append((name, f"{1000 * best:.0f}"))
    print_table(("asked for", "CPU, ms"), rows)


if __name__ == "__main__":
    main()
