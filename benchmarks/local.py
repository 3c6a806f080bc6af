"""Running a plan on this machine, two steps at once: planit, its peers, and GNU make.

The limit is ``make -j2`` with ``python -c pass`` for each step. Goals: under half of the best
Python peer, and within twice of make. "nothing" is independent steps that do nothing, "mix" is
chains of three steps of 50 ms of CPU time each and a join: 25 ms per step on two CPUs is its
floor, and what is above that is compared too. planit goes its real way, with the
record of the run on disk. The machine may have other work: runs are interleaved, seconds are
medians of the whole program from its start to its end, and CPU time (of the processes that the
program waited for, steps included) is given too. Memory is that of the largest process.

The rows do not all promise the same: dawgz hands its jobs to a pool of two long-lived processes
(none is started per step), submitit knows no limit and no dependencies (our loop does), and steps
of make, gwf and Snakemake are shell lines that start a Python; make and dawgz keep no record that
another shell could read meanwhile.

    python -m benchmarks.local [--quick] [--large]
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks._local_peers import PEER_PACKAGES, write_programs
from benchmarks._peers import peer_environment
from benchmarks.measuring import (
    Sample,
    arguments,
    interleaved,
    last_line,
    peak_of,
    plain_env,
    print_table,
    run_timed,
    say,
    scratch,
    seconds_of,
)

TIMEOUT_S = 900
LIMIT = "make -j2 (the limit)"
FORK = "planit, Python, fork"
STEPS: dict[str, Callable[[int], int]] = {"nothing": lambda n: n, "mix": lambda n: 3 * n + 1}
FLOOR_S = {"nothing": 0.0, "mix": 0.025}
Results = Mapping[str, list[Sample] | str]


@dataclass(frozen=True)
class Way:
    """A program that runs the steps.

    Attributes:
        command: the program for a shape and its size.
        most: the largest size of "nothing" that it is tried with; above it takes minutes.
        missing: why it cannot be run, or None.
        is_planit: whether it is planit, and not a peer or the limit.
        has_process: whether each step gets a process of its own.
        is_waited_for: whether its processes are, so that their CPU time and memory are known.
    """

    name: str
    command: Callable[[str, int], list[str]]
    most: int = 10**9
    missing: str | None = None
    is_planit: bool = False
    has_process: bool = True
    is_waited_for: bool = True

    def size(self, shape: str, size: int) -> int:
        return min(size, self.most) if shape == "nothing" else size


def ways(peers: Path, failures: Mapping[str, str], versions: Mapping[str, str]) -> list[Way]:
    """All ways, the limit first."""
    python, peer = sys.executable, str(peers / "python")

    def program(interpreter: str, name: str, *more: str) -> Callable[[str, int], list[str]]:
        return lambda shape, size: [interpreter, f"use_{name}.py", shape, str(size), *more]

    def named(name: str) -> str:
        return f"{name} {versions.get(name, '')}".strip()

    snakemake = ["-j2", "--quiet", "all", "--scheduler", "greedy"]  # faster than its default
    return [
        Way(LIMIT, lambda shape, size: ["make", "-j2"]),
        Way(FORK, program(python, "planit", "fork"), is_planit=True),
        Way("planit, Python, spawn", program(python, "planit", "spawn"), is_planit=True),
        Way("planit submit -m, fork", partial(_multirun, "fork"), is_planit=True),
        Way("planit submit -m, spawn", partial(_multirun, "spawn"), is_planit=True),
        Way(
            f"{named('dawgz')} async (a pool)",
            program(peer, "dawgz"),
            missing=failures.get("dawgz"),
            has_process=False,
        ),
        Way(
            f"{named('gwf')} local",
            program(peer, "gwf"),
            missing=failures.get("gwf"),
            is_waited_for=False,  # its workers only end when they are killed
        ),
        Way(
            f"{named('snakemake')} -j2",
            lambda shape, size: [str(peers / "snakemake"), *snakemake],
            missing=failures.get("snakemake"),
        ),
        Way(
            f"{named('submitit')} local",
            program(peer, "submitit"),
            most=100,
            missing=failures.get("submitit"),
        ),
    ]


def _multirun(isolation: str, shape: str, size: int) -> list[str]:
    backend = ["backend=local", "backend.cpus=2", f"backend.isolation={isolation}"]
    swept = [f"i=range(0,{size})", *(["sweep.join=[join]"] if shape == "mix" else [])]
    return [sys.executable, "-m", "planit", "submit", "-m", f"plan={shape}", *backend, *swept]


def once(way: Way, shape: str, size: int) -> Sample:
    """One run in a new folder. Raises RuntimeError if it failed, or did not end."""
    size = way.size(shape, size)
    more = {"SHAPE": shape, "COUNT": str(size), "STEP_PYTHON": sys.executable}
    more["DAWGZ_DIR"] = ".dawgz"
    env = plain_env(**more) if way.is_planit else {**os.environ, **more}
    folder = scratch()
    write_programs(folder, shape, size)
    env["XDG_CACHE_HOME"] = str(folder / "cache")
    command = ["timeout", str(TIMEOUT_S), *way.command(shape, size)]
    sample = run_timed(command, env=env, cwd=folder)
    if way.is_planit and sample.code == 0:
        _check_record(folder, STEPS[shape](size))
    return sample.check()


def _check_record(folder: Path, count: int) -> None:
    """Raise RuntimeError if the record of the run does not show every step's end."""
    found = sum(1 for _ in folder.glob("runs/**/stages/*/*.0.json"))
    if found != count:
        raise RuntimeError(f"the record shows the end of {found:,} of {count:,} steps")


def table_of(all_ways: Sequence[Way], shape: str, size: int, results: Results) -> list[list[str]]:
    """A row for each way; one that could not be run says why."""
    limit = results[LIMIT]
    assert not isinstance(limit, str), limit
    limit_ms = seconds_of(limit) / STEPS[shape](size) * 1e3
    table = []
    for way in all_ways:
        samples = way.missing or results[way.name]
        count = STEPS[shape](way.size(shape, size))
        if isinstance(samples, str):
            table.append([f"{shape}: {way.name}: {samples}", f"{count:,}"])
            continue
        seconds = seconds_of(samples)
        each, least = seconds / count * 1e3, min(sample.seconds for sample in samples)
        cells = [f"{seconds:.2f}", f"{least:.2f}", f"{each:.1f}", f"{each / limit_ms:.2f}"]
        used = [f"{median(s.cpu_s for s in samples) / count * 1e3:.1f}", peak_of(samples)]
        cells += used if way.is_waited_for else ["?", "?"]
        table.append([f"{shape}: {way.name}", f"{count:,}", *cells])
    return table


def verdicts(all_ways: Sequence[Way], shape: str, size: int, results: Results) -> list[str]:
    """Whether planit's forks meet the goals."""
    each: dict[str, float] = {}
    for way in all_ways:
        samples = results.get(way.name, [])
        if samples and not isinstance(samples, str):
            each[way.name] = seconds_of(samples) / STEPS[shape](way.size(shape, size))
    if FORK not in each:
        return [f"{shape}: {FORK} did not run"]
    floor = FLOOR_S[shape]

    def ratios(other: str) -> str:
        """The ratio of seconds and, for steps that work, of the seconds above the floor."""
        whole = f"{each[FORK] / each[other]:.2f}"
        above = (each[FORK] - floor) / max(each[other] - floor, 1e-9)
        return f"{whole} ({above:.2f} above the floor)" if floor else whole

    texts = [f"{ratios(LIMIT)} of make; goal 2"]
    peers = [way for way in all_ways if not way.is_planit and way.name in each]
    peers = [way for way in peers if way.name != LIMIT]
    for what, among in (
        ("the best Python peer", peers),
        ("the best that starts a process per step", [way for way in peers if way.has_process]),
    ):
        if among:
            best = min(among, key=lambda way: each[way.name])
            texts.append(f"{ratios(best.name)} of {what}, {best.name}; goal 0.5")
    return [f"{shape}: {FORK} takes {text}" for text in texts]


def memory_row(count: int, isolation: str) -> list[str]:
    """Run a plan of nothing, looking at the peak memory of its engine meanwhile."""
    folder = scratch()
    write_programs(folder, "nothing", count)
    command = [sys.executable, "use_planit.py", "nothing", str(count), isolation, "watch"]
    sample = run_timed(command, env=plain_env(), cwd=folder)
    name = f"planit, Python, {isolation}"
    if sample.code != 0:
        return [f"{name}: {last_line(sample.output)}", f"{count:,}"]
    peaks = json.loads(last_line(sample.output))
    cells = [f"{sample.seconds:.1f}", f"{sample.seconds / count * 1e3:.1f}"]
    cells += [f"{peaks['engine_mb']:.1f}", f"{peaks['submitter_mb']:.1f}"]
    return [name, f"{count:,}", *cells]


def load() -> str:
    return " ".join(f"{value:.1f}" for value in os.getloadavg())


def main() -> None:
    options = arguments(__doc__, large="30,000 steps, too, for planit's memory")
    repeats = 1 if options.quick else 3
    sizes = {"nothing": 100, "mix": 10} if options.quick else {"nothing": 1000, "mix": 40}
    counts = [100, 1_000] if options.quick else [100, 1_000, 10_000]
    counts += [30_000] if options.large else []
    all_ways = ways(*peer_environment(PEER_PACKAGES, "local-peers"))
    before = load()
    table, texts = [], []
    for shape, size in sizes.items():
        tried = [way for way in all_ways if way.missing is None]
        cases = {way.name: partial(once, way, shape, size) for way in tried}
        results = interleaved(cases, repeats, patience_s=45)
        table += table_of(all_ways, shape, size, results)
        texts += verdicts(all_ways, shape, size, results)
    head = ("what", "steps", "seconds", "least", "ms/step", "ratio", "CPU ms/step", "largest MB")
    print_table(head, table)
    print("", *texts, "", sep="\n")
    memory = []
    for count in counts:
        say(f"memory with {count:,} steps")
        memory.append(memory_row(count, "fork"))
    print_table(("peak memory", "steps", "seconds", "ms/step", "engine MB", "submitter MB"), memory)
    cores = len(os.sched_getaffinity(0))
    print(f"\n{cores} cores; load average {before} before, {load()} after")


if __name__ == "__main__":
    main()
