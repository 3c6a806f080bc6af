"""What a run costs its file system: entries, and system calls on files, counted by strace.

Goals: under 40 entries at submission for any N up to MaxArraySize, at most 2 per step after success
(its record, and its log where it wrote something), and under 50 opened files for the second status
of an ended run. N branches of two steps and a join are submitted to a private Slurm that starts
nothing, and run by the local engine; submitit and gwf submit the same. Only calls that name a file
below the folder of the runs are counted. Steps print nothing; "entries" are files and folders, and
those of the frozen code (as many as the project has, shared by runs of the same code) stand apart.
The whole takes five minutes on two quiet cores, of which submitit's loop needs one and a half;
--quick half a minute.

    python -m benchmarks.files [--quick] [--large]
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks._peers import peer_environment, write_programs
from benchmarks.measuring import (
    Slurm,
    arguments,
    print_table,
    private_slurm,
    run_timed,
    say,
    scratch,
)
from planit.record import history as histories
from planit.record import index
from planit.record.frozen_code import FOLDER
from planit.record.markers import EndMarker, JobIdentity, Outcome
from planit.record.run_dir import RunDir
from planit.record.task_files import TaskFiles

LOCAL = """\
import sys
import submitit
import work
from planit import Chain, Parallel, Plan, SlurmArgs, Step

CPU = SlurmArgs(time="01:00:00", partition="batch")
branches = [
    Chain(Step(f"first_{i}", work.first, CPU, i), Step(f"second_{i}", work.second, CPU, i))
    for i in range(int(sys.argv[1]))
]
plan = Plan("sweep", Chain(Parallel(*branches), Step("join", work.join, CPU)))
plan.submit(submitit.AutoExecutor(folder="runs", cluster="local"))
plan.wait()
"""
STATUS = """\
from planit import Run
print(Run.open(base="runs").status().counts)
"""
_OPENED = re.compile(r"\bopen(at)?\(")


def traced(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> list[str]:
    """The calls that name a file below the folder of the runs (or logs, or .gwf).

    What is asked of an open file (fstat) is not counted: it costs no round trip.
    """
    out = scratch() / "trace"  # not in the project, which is frozen
    strace = ["strace", "-f", "--seccomp-bpf", "-qq", "-y", "-s", "4096", "-o", str(out)]
    calls = "trace=%file,fsync,fdatasync,fchmod,getdents64"
    run_timed([*strace, "-e", calls, *command], env=env, cwd=folder).check()
    places = tuple(f"{folder}/{name}" for name in ("runs", "logs", ".gwf")), (
        '"runs', '"logs', '".gwf',
    )  # fmt: skip
    lines = out.read_text(errors="replace").splitlines()
    out.unlink()
    lines = [line for line in lines if "AT_EMPTY_PATH" not in line and " resumed>" not in line]
    return [line for line in lines if any(name in line for names in places for name in names)]


def entries(folder: Path) -> str:
    """How many files and folders hold the record of the runs; apart from those, frozen code."""
    found = [one for name in ("runs", "logs", ".gwf") for one in (folder / name).rglob("*")]
    code = sum(1 for one in found if FOLDER in one.relative_to(folder).parts[3:4])
    return f"{len(found) - code:,}" + (f" + {code:,}" if code else "")


def project(text: Mapping[str, str]) -> Path:
    folder = scratch()
    write_programs(folder)
    for name, content in text.items():
        (folder / name).write_text(content)
    return folder


def end_all(run: RunDir) -> None:
    """Write the records of all steps, as if they had run."""
    for places in histories.read(run).places.values():
        job = JobIdentity("1", host="n1")
        end = EndMarker(Outcome.SUCCEEDED, 0, job, 1.0, 61.0, 60.0)
        TaskFiles(run.path, *places[-1]).write_end(0, end)


def opened(lines: Sequence[str]) -> int:
    return sum(1 for line in lines if _OPENED.search(line))


def submitted(slurm: Slurm, name: str, command: list[str], count: int) -> tuple[str, ...]:
    """The row of a submission to Slurm, with two looks at what planit has submitted."""
    say(f"{name}, {count:,} branches")
    folder = project({"use_status.py": STATUS})
    env = {**slurm.env(), "COUNT": str(count)}
    calls = traced(command, folder, env)
    steps = 2 * count + 1
    cells = [f"{steps:,}", entries(folder), f"{len(calls) / steps:.2f}"]
    looks = ["", ""]
    if name.startswith("planit"):
        run = index.all_runs(folder / "runs")[0]
        end_all(run)
        look = [sys.executable, "use_status.py"]
        looks = [f"{opened(traced(look, folder, env)):,}"]
        run_timed(["sleep", "2.1"])  # what has just changed may change again
        traced(look, folder, env)
        looks.append(f"{opened(traced(look, folder, env)):,}")
    slurm.clear()
    return (name, *cells, "", "", *looks)


def ran(count: int, env: Mapping[str, str]) -> tuple[str, ...]:
    """The row of a run on this machine."""
    say(f"planit, local engine, {count:,} branches")
    folder = project({"use_local.py": LOCAL})
    calls = traced([sys.executable, "use_local.py", str(count)], folder, env)
    steps = 2 * count + 1
    left = sum(1 for _ in (folder / "runs").rglob("stages/*/[0-9]*"))
    left += sum(1 for _ in (folder / "runs").rglob("steps/*"))
    each = (f"{left / steps:.2f}", f"{len(calls) / steps:.1f}")
    return ("planit, run by the local engine", f"{steps:,}", "", "", *each)


def main() -> None:
    options = arguments(__doc__, large="20,001 steps too, for planit")
    if shutil.which("strace") is None:
        sys.exit("strace is not installed: apt-get install strace")
    sizes = [20] if options.quick else [200, 2_000]
    peers, failures, _ = peer_environment()
    python = sys.executable
    table: list[tuple[str, ...]] = []
    with private_slurm(min_job_age=10) as slurm:
        for count in sizes:
            ways = {"planit, Python": [python, "use_planit.py", str(count)]}
            if count <= 200:
                ways["submitit in a loop"] = [python, "use_submitit.py", str(count)]
            if "gwf" not in failures:
                ways["gwf"] = [str(peers / "gwf"), "-b", "slurm", "run"]
            table += [submitted(slurm, name, words, count) for name, words in ways.items()]
            table.append(ran(count, slurm.env()))
        if options.large:
            command = [python, "use_planit.py", "10000"]
            table.append(submitted(slurm, "planit, Python", command, 10_000))
    head = (
        "what",
        "steps",
        "entries, submitted",
        "calls/step",
        "entries/step, done",
        "calls/step, run",
        "opened, 1st status",
        "2nd",
    )
    print_table(head, table)


if __name__ == "__main__":
    main()
