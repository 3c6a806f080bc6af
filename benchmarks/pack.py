"""Many short steps: packed in one job of 8 CPUs, beside an array task for each, and the peers.

"nothing" is steps that do nothing, "0.1 s" is steps that sleep for it: the ideal is their time
divided by 8, so that a machine with fewer cores can show it, but what starting them costs is then
that of its own cores. planit goes its real way: a record of each step, on disk. Seconds are from
the end of the submission to the end of the job (of the last job), so they hold Slurm's own second
or so; "ms/step" is above the ideal. An array of one task each is timed with some hundreds, and what
it would take for all of them is extrapolated.

Steps of GNU parallel and HyperQueue are programs (sleep, true), not Python functions, and they run
beside Slurm, with 8 at once; HyperQueue's time has its start and a second's granularity in it.

    python -m benchmarks.pack [--quick] [--large]
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks._peers import peer_environment
from benchmarks.measuring import (
    Sample,
    Slurm,
    arguments,
    last_line,
    plain_env,
    print_table,
    private_slurm,
    run_timed,
    say,
    scratch,
)

CPUS = 8
TIMEOUT_S = 1800
STEP_S = {"nothing": 0.0, "0.1 s": 0.1}

PLANIT = """\
import json
import sys
import time
from pathlib import Path
from planit import Packed, Parallel, Run, SlurmArgs, Step
from planit.backends.local.backend import LocalBackend
from planit.backends.slurm.backend import SlurmBackend
from planit.submit.new import NewRun
import subprocess
import work

way, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
one = SlurmArgs(time="00:10:00", partition="batch", cpus_per_task=1)
whole = SlurmArgs(time="01:00:00", partition="batch", cpus_per_task=8)
steps = [Step(f"s{i}", work.step, one, seconds) for i in range(count)]
backend = SlurmBackend()
if way == "packed":
    root = Packed(Parallel(*steps), whole)
elif way == "array":
    root = Parallel(*steps, max_concurrent=8)
else:
    root, backend = Parallel(*steps), LocalBackend(cpus=8)
began = time.monotonic()
run, jobs = NewRun("pack", root, Path("runs"), backend).start()
submitted = time.monotonic()
if way == "local":
    while backend.client.engine(1).is_alive:
        time.sleep(0.1)
else:
    while subprocess.run(
        ["squeue", "-h", "-j", jobs.ids[0]], capture_output=True, text=True
    ).stdout.strip():
        time.sleep(0.2)
ended = time.monotonic()
done = Run(run.path, backend=backend).status()
if not done.succeeded:
    sys.exit(f"not all succeeded: {done.counts}")
files = sum(1 for path in run.path.rglob("*"))
print(json.dumps({"submit_s": submitted - began, "seconds": ended - submitted, "files": files}))
"""

WORK = """\
import time

def step(seconds):
    if seconds:
        time.sleep(seconds)
"""

HYPERQUEUE = """\
import json
import sys
import time
from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

count, seconds = int(sys.argv[1]), float(sys.argv[2])
words = ["sleep", str(seconds)] if seconds else ["true"]
with LocalCluster() as cluster:
    cluster.start_worker(WorkerConfig(cores=8))
    client = cluster.client()
    began = time.monotonic()
    job = Job()
    for _ in range(count):
        job.program(words)
    client.wait_for_jobs([client.submit(job)])
    print(json.dumps({"submit_s": 0.0, "seconds": time.monotonic() - began, "files": 0}))
"""

GNU_PARALLEL = """\
began=$(date +%s.%N)
seq "$1" | parallel --will-cite -j8 --joblog joblog -N1 "$2"
echo "{\\"submit_s\\": 0, \\"seconds\\": $(echo "$(date +%s.%N) - $began" | bc), \\"files\\": 1}"
"""


@dataclass(frozen=True)
class Way:
    """A program that runs the steps.

    Attributes:
        command: the program, for a number of steps and the seconds of each.
        most: the largest number that it is tried with; more is extrapolated.
        missing: why it cannot be run, or None.
    """

    name: str
    command: Callable[[int, float], list[str]]
    most: int = 10**9
    missing: str | None = None


def ways(most: int) -> list[Way]:
    """All ways, the packed job first."""
    peers, failures, versions = peer_environment({"hyperqueue": ["hyperqueue"]}, "pack-peers")

    def planit(way: str) -> Callable[[int, float], list[str]]:
        return lambda count, seconds: [
            sys.executable,
            "use_planit.py",
            way,
            str(count),
            f"{seconds}",
        ]

    def gnu(count: int, seconds: float) -> list[str]:
        line = f"sleep {seconds}; : {{}}" if seconds else "true {}"
        return ["bash", "use_parallel.sh", str(count), line]

    python = str(peers / "python")
    has_parallel = shutil.which("parallel") is not None and shutil.which("bc") is not None
    return [
        Way("planit, packed in a job", planit("packed")),
        Way("planit, local backend", planit("local")),
        Way("planit, an array task each", planit("array"), most=most),
        Way("GNU parallel -j8", gnu, missing=None if has_parallel else "needs parallel and bc"),
        Way(
            f"HyperQueue {versions.get('hyperqueue', '')}".strip(),
            lambda count, seconds: [python, "use_hyperqueue.py", str(count), str(seconds)],
            missing=failures.get("hyperqueue"),
        ),
    ]


def once(way: Way, count: int, seconds: float, env: Mapping[str, str]) -> dict[str, float]:
    """One run in a new folder; what it printed. Raises RuntimeError."""
    folder = scratch()
    programs = {"use_planit.py": PLANIT, "work.py": WORK, "use_hyperqueue.py": HYPERQUEUE}
    for name, text in {**programs, "use_parallel.sh": GNU_PARALLEL}.items():
        Path(folder, name).write_text(text)
    command = ["timeout", str(TIMEOUT_S), *way.command(count, seconds)]
    sample: Sample = run_timed(command, env=env, cwd=folder).check()
    found: dict[str, float] = json.loads(last_line(sample.output))
    return found


def rows(slurm: Slurm, what: str, count: int, most: int) -> list[list[str]]:
    """A row for each way."""
    ideal = count * STEP_S[what] / CPUS
    table = [[f"{what}: the ideal", f"{count:,}", "", f"{ideal:.1f}", "", "", ""]]
    packed_s = 0.0
    env = {**plain_env(), **slurm.env()}
    for way in ways(most):
        if way.missing is not None:
            table.append([f"{what}: {way.name}: {way.missing}", f"{count:,}"])
            continue
        tried = min(count, way.most)
        say(f"{what}, {tried:,} steps: {way.name}")
        try:
            found = once(way, tried, STEP_S[what], env)
        except RuntimeError as error:
            table.append([f"{what}: {way.name}: {error}", f"{tried:,}"])
            continue
        seconds = found["seconds"] * count / tried
        packed_s = packed_s or seconds
        name = way.name if tried == count else f"{way.name} (of {tried}, extrapolated)"
        each = (seconds - ideal) / count * 1e3
        cells = [f"{found['submit_s']:.1f}", f"{seconds:.1f}", f"{each:.1f}"]
        files = f"{found['files'] / tried:.2f}" if found["files"] else "?"
        table.append([f"{what}: {name}", f"{count:,}", *cells, f"{seconds / packed_s:.2f}", files])
    return table


def main() -> None:
    options = arguments(__doc__, large="10,000 steps, too")
    counts = [100] if options.quick else [1_000]
    counts += [10_000] if options.large else []
    most = 40 if options.quick else 200
    head = ("what", "steps", "submit s", "seconds", "ms/step", "of packed", "files/step")
    with private_slurm() as slurm:
        slurm.open_partitions()
        for count in counts:
            print_table(head, [row for what in STEP_S for row in rows(slurm, what, count, most)])
            print(flush=True)
    cores = len(os.sched_getaffinity(0))
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{CPUS} CPUs of Slurm's on {cores} cores; load average {load}")


if __name__ == "__main__":
    main()
