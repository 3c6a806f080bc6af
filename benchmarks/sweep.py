"""Queuing N branches of two steps and a join: planit, its peers, and Slurm alone.

The limit is bare ``sbatch --array`` twice (the second with ``aftercorr``) and a join. Goals: three
sbatch calls for any N up to MaxArraySize, 1,000 branches within 1.5 s from Python and 3 s from the
command line, and linear growth. All submit to one private Slurm that takes jobs and starts none;
each row is checked to have queued what it should. "seconds" goes from starting the program to its
end (for the launcher, which waits for its jobs, to its last submission).

The rows do not all promise the same: hydra-submitit-launcher knows no second step and no join, and
between dawgz's arrays stands a barrier, where each branch waits for the slowest.

    python -m benchmarks.sweep [--quick] [--large]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from benchmarks._peers import peer_environment, write_programs
from benchmarks.measuring import (
    Sample,
    Slurm,
    arguments,
    interleaved,
    last_line,
    peak_of,
    print_table,
    private_slurm,
    run_timed,
    scratch,
    seconds_of,
)

LIMIT = "sbatch --array (the limit)"
NEVER = 10**9
PEERS = ("hydra-submitit-launcher", "gwf", "dawgz")


@dataclass
class Row:
    """A way to submit the sweep.

    Attributes:
        command: the program for N branches.
        jobs: how many jobs and array tasks it has to leave in the queue.
        most: the largest N that it is tried with; above it takes minutes.
        missing: why it cannot be run, or None.
        queued: for a program that waits for its jobs: whether all are in.
    """

    name: str
    command: Callable[[int], list[str]]
    most: int = NEVER
    missing: str | None = None
    jobs: Callable[[int], int] = field(default=lambda n: 2 * n + 1)
    queued: Callable[[Path], bool] | None = None


def rows(
    peers: Path, failures: dict[str, str], versions: dict[str, str], *, multirun: bool
) -> list[Row]:
    """All ways, the limit first."""
    python, peer = sys.executable, str(peers / "python")
    launcher, gwf, dawgz = (failures.get(name) for name in PEERS)
    launcher_name, gwf_name, dawgz_name = (f"{name} {versions.get(name, '')}" for name in PEERS)
    return [
        Row(LIMIT, lambda n: ["bash", "limit.sh", str(n)]),
        Row("planit, Python", lambda n: [python, "use_planit.py", str(n)]),
        Row(
            "planit submit -m",
            lambda n: [python, *_multirun(n)],
            missing=None if multirun else "not built: submit -m does not make one DAG yet",
        ),
        Row(
            f"{launcher_name} (one step)",
            lambda n: [peer, *_launcher(n)],
            most=100,
            missing=launcher,
            jobs=lambda n: n,
            queued=lambda folder: any(folder.glob("multirun/**/[0-9]*_submission.sh")),
        ),
        Row(
            f"submitit {versions.get('submitit', '')} in a loop",
            lambda n: [peer, "use_submitit.py", str(n)],
            most=100,
        ),
        Row(dawgz_name, lambda n: [peer, "use_dawgz.py", str(n), "jobs"], 1000, dawgz),
        Row(
            f"{dawgz_name}, arrays (barrier)",
            lambda n: [peer, "use_dawgz.py", str(n), "arrays"],
            1000,
            dawgz,
        ),
        Row(gwf_name, lambda n: [str(peers / "gwf"), "-b", "slurm", "run"], 1000, gwf),
    ]


def _multirun(count: int) -> list[str]:
    swept = [f"i=range(0,{count})", "sweep.join=[join]"]
    return ["-m", "planit", "submit", "-m", "plan=sweep", *swept]


def _launcher(count: int) -> list[str]:
    options = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=batch"]
    return ["use_launcher.py", "-m", *options, f"i=range(0,{count})"]


def main() -> None:
    options = arguments(__doc__, large="also 10,000 branches, for those that can")
    sizes = [10, 100] if options.quick else [10, 100, 1000]
    sizes += [10_000] if options.large else []
    peers, failures, versions = peer_environment()
    with private_slurm(min_job_age=10) as slurm:
        bench = _Bench(slurm)
        ways = rows(peers, failures, versions, multirun=bench.has_multirun())
        table = [
            cells
            for size in sizes
            for cells in bench.measure(ways, size, 1 if options.quick else 3)
        ]
    head = ("what", "N", "sbatch calls", "other calls", "seconds", "ratio", "peak MB")
    print_table(head, table)


class _Bench:
    def __init__(self, slurm: Slurm) -> None:
        self.slurm = slurm
        self.calls: dict[str, tuple[int, int]] = {}

    def has_multirun(self) -> bool:
        """Whether `planit submit -m` makes one DAG of all its configurations."""
        folder = scratch()
        write_programs(folder)
        run_timed([sys.executable, *_multirun(4)], env=self.slurm.env(), cwd=folder)
        built = self.slurm.queued() == 9 and self.slurm.calls()["sbatch"] == 3
        self.slurm.clear()
        return built

    def measure(self, ways: list[Row], size: int, repeats: int) -> list[tuple[str, ...]]:
        self.calls.clear()
        tried = [way for way in ways if size <= way.most]
        cases = {w.name: partial(self.once, w, size) for w in tried if w.missing is None}
        results = interleaved(cases, repeats)
        limit = results[LIMIT]
        assert not isinstance(limit, str), limit
        table: list[tuple[str, ...]] = []
        for way in tried:
            samples = way.missing or results[way.name]
            if isinstance(samples, str):
                table.append((f"{way.name}: {samples}", f"{size:,}"))
                continue
            seconds = seconds_of(samples)
            ratio = f"{seconds / seconds_of(limit):.1f}"
            calls = [f"{count:,}" for count in self.calls[way.name]]
            table.append((way.name, f"{size:,}", *calls, f"{seconds:.2f}", ratio, peak_of(samples)))
        return table

    def once(self, way: Row, size: int) -> Sample:
        """One submission into an empty queue. Raises RuntimeError if not all of it is there."""
        self.slurm.clear()
        folder = scratch()
        write_programs(folder)
        env = {**self.slurm.env(), "COUNT": str(size)}
        queued = partial(way.queued, folder) if way.queued is not None else None
        sample = run_timed(way.command(size), env=env, cwd=folder, until=queued)
        calls = self.slurm.calls()
        found, wanted = self.slurm.queued(), way.jobs(size)
        self.slurm.clear()
        sample.check()
        if found != wanted:
            end = last_line(sample.output)
            raise RuntimeError(f"queued {found:,} of {wanted:,} jobs: {end}")
        self.calls[way.name] = (calls["sbatch"], calls.total() - calls["sbatch"])
        return sample


if __name__ == "__main__":
    main()
