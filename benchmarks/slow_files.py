"""A run on a file system whose every operation takes 2 ms, as a busy network file system's may.

The project and its runs are on a loopback file system in user space (FUSE) that waits before each
operation. Goals: 1,000 branches of two steps and a join are queued within 3 s and looked at within
1 s, and a smaller run of the kind ends as it should. The kernel caches what it looked up for one
second, as NFS does for three or more. "operations" are those that reached the file system.

    apt-get install fuse3 && pip install mfusepy
    python -m benchmarks.slow_files [--quick]
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks._peers import write_programs
from benchmarks.measuring import Slurm, arguments, print_table, private_slurm, run_timed, scratch

DELAY_S = 0.002
STATUS = """\
from planit import Run
print(dict(Run.open(base="runs").status().counts))
"""


@contextmanager
def slow_folder() -> Iterator[tuple[Path, Path]]:
    """A mounted folder, and the file whose size is the number of operations so far."""
    base = scratch()
    real, mounted, count = base / "real", base / "slow", base / "count"
    real.mkdir()
    mounted.mkdir()
    words = [real, mounted, count, DELAY_S]
    server = subprocess.Popen([sys.executable, "-m", "benchmarks._loopback", *map(str, words)])
    try:
        end = time.monotonic() + 10
        while not os.path.ismount(mounted):
            if server.poll() is not None or time.monotonic() > end:
                sys.exit("cannot mount: apt-get install fuse3 && pip install mfusepy")
            time.sleep(0.05)
        yield mounted, count
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(mounted)], check=False)
        server.wait(10)


def row(
    what: str, command: Sequence[str], folder: Path, count: Path, env: Mapping[str, str]
) -> tuple[tuple[str, str, str], str]:
    """Time a command in the folder; the table's row, and the last line that it printed."""
    before = count.stat().st_size
    sample = run_timed(command, env=env, cwd=folder).check()
    asked = count.stat().st_size - before
    last = sample.output.strip().splitlines()[-1] if sample.output.strip() else ""
    return (what, f"{sample.seconds:.2f}", f"{asked:,}"), last


def measured(slurm: Slurm, folder: Path, count: Path, branches: int, small: int) -> None:
    write_programs(folder)
    (folder / "use_status.py").write_text(STATUS)
    env, python = slurm.env(), sys.executable
    rows = []
    for what, command in {
        f"submit {branches:,} branches, first run": [python, "use_planit.py", str(branches)],
        f"submit {branches:,} branches, same code": [python, "use_planit.py", str(branches)],
        f"status of {2 * branches + 1:,} steps": [python, "use_status.py"],
    }.items():
        rows.append(row(what, command, folder, count, env)[0])
    slurm.clear()
    slurm.open_partitions()
    line, _ = row(
        f"submit {small} branches", [python, "use_planit.py", str(small)], folder, count, env
    )
    rows.append(line)
    command = [python, "-m", "planit", "wait", "--runs-dir", "runs"]
    rows.append(row(f"run {2 * small + 1} steps", command, folder, count, env)[0])
    line, counts = row("status of the ended run", [python, "use_status.py"], folder, count, env)
    rows.append(line)
    print_table(("what", "s", "operations"), rows)
    print(f"The steps of the small run ended as {counts}")


def main() -> None:
    options = arguments(__doc__)
    branches, small = (200, 5) if options.quick else (1_000, 50)
    with slow_folder() as (folder, count), private_slurm() as slurm:
        measured(slurm, folder, count, branches, small)


if __name__ == "__main__":
    main()
