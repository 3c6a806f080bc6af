"""What the benchmarks share: timing commands, counting Slurm calls, a private Slurm, a table."""

from __future__ import annotations

import argparse
import os
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import TextIO

from tests.cluster import Cluster, ensure_installed

ROOT = Path(__file__).resolve().parents[1]
SLURM_TOOLS = ("sbatch", "scontrol", "scancel", "squeue", "sacct")


@dataclass(frozen=True)
class Sample:
    """One run of a command.

    Attributes:
        seconds: wall time.
        peak_mb: peak resident memory of its largest process, from wait4(2). Linux starts counting
            with what the process that forked it had, so small ones hide behind this one.
        output: standard output and error together.
        cpu_s: CPU time of its processes that were waited for; a loaded machine hardly changes it.
    """

    seconds: float
    peak_mb: float
    code: int
    output: str
    cpu_s: float = 0.0

    def check(self) -> Sample:
        """This sample; raises RuntimeError with the command's last words if it failed."""
        if self.code != 0:
            raise RuntimeError(last_line(self.output) or f"exit code {self.code}")
        return self


def run_timed(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    until: Callable[[], bool] | None = None,
) -> Sample:
    """Run a command to its end, or kill it (and its session) as soon as `until` is true."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=env,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stopped = _stop_when(process.pid, until) if until is not None else None
        _, status, usage = os.wait4(process.pid, 0)
        seconds = (stopped or time.perf_counter()) - start
        process.returncode = 0 if stopped else os.waitstatus_to_exitcode(status)
        cpu_s = usage.ru_utime + usage.ru_stime
        return Sample(seconds, usage.ru_maxrss / 1024, process.returncode, _content(output), cpu_s)


def _content(file: TextIO) -> str:
    """The end of a file; reading all of it would make this process, and so its children, large."""
    file.seek(max(0, file.seek(0, os.SEEK_END) - 20_000))
    return file.read()


def _stop_when(pid: int, until: Callable[[], bool]) -> float | None:
    """Kill the session of `pid` when `until` is true; the moment, or None if it ended before."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if until():
            moment = time.perf_counter()
            os.killpg(pid, 9)
            return moment
        time.sleep(0.005)
    return None


def interleaved(
    cases: Mapping[str, Callable[[], Sample]], repeats: int, patience_s: float = 10.0
) -> dict[str, list[Sample] | str]:
    """Run the cases in turn, A B A B ..., so that a noisy moment hits all of them.

    A case that took longer than `patience_s` is not repeated. One that raises gets its reason
    instead of samples.
    """
    results: dict[str, list[Sample] | str] = {}
    for turn in range(repeats):
        for name, case in cases.items():
            past = results.get(name, [])
            if isinstance(past, str) or (past and past[-1].seconds > patience_s):
                continue
            say(f"{name} ({turn + 1}/{repeats})")
            try:
                results[name] = [*past, case()]
            except (RuntimeError, OSError) as error:
                results[name] = last_line(str(error)) or type(error).__name__
    return results


def seconds_of(samples: Sequence[Sample]) -> float:
    return median(sample.seconds for sample in samples)


def peak_of(samples: Sequence[Sample]) -> str:
    """Median of the peaks in MB, as text; what hides behind this process's own is said to."""
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    peak = median(sample.peak_mb for sample in samples)
    return f"{peak:.0f}" if peak > own * 1.02 else f"< {own:.0f}"


def print_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a plain table; the first column is text, the others are numbers."""
    cells = [[*map(str, row)] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells if i < len(row)) for i in range(len(head))]
    widths[-1] = max(len(row[-1]) for row in cells if len(row) == len(head))
    for number, row in enumerate(cells):
        first, *rest = (
            text.ljust(width) if i == 0 else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=False))
        )
        print("  ".join([first, *rest]).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def say(text: str) -> None:
    """Tell somebody who waits what goes on; the table alone goes to standard output."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def arguments(doc: str | None, **flags: str) -> argparse.Namespace:
    """The command line: ``--quick`` and the given flags, with their help."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawTextHelpFormatter)
    for name, text in {"quick": "fewer and smaller runs", **flags}.items():
        parser.add_argument(f"--{name}", action="store_true", help=text)
    return parser.parse_args()


def plain_env(**more: str) -> dict[str, str]:
    """The environment of this process, with the project importable."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path, **more}


@dataclass(frozen=True)
class Slurm:
    """A private Slurm whose partitions take jobs and start none, with counted client calls."""

    cluster: Cluster
    log: Path
    wrappers: Path

    def env(self) -> dict[str, str]:
        """The environment for a command whose Slurm calls are counted."""
        env = {**plain_env(), **self.cluster.env()}
        return {**env, "PATH": f"{self.wrappers}{os.pathsep}{env['PATH']}"}

    def calls(self) -> Counter[str]:
        """The calls of Slurm's clients since the last `clear`."""
        return Counter(self.log.read_text().split()) if self.log.exists() else Counter()

    def clear(self) -> None:
        """Cancel all jobs, wait until they are gone, forget the calls."""
        me = str(os.geteuid())
        while self._ask("squeue", "-h", "-u", me).strip():
            self._ask("scancel", "-u", me)
            time.sleep(0.2)
        self.log.unlink(missing_ok=True)

    def forget(self) -> None:
        """Cancel all jobs, and wait until Slurm knows of them from its accounting only."""
        self.clear()
        while self._ask("squeue", "-h", "-t", "all").strip():
            time.sleep(0.5)

    def queued(self) -> int:
        """How many jobs and array tasks are in the queue."""
        return int(self._ask("sh", "-c", "squeue -h -r -o %i | wc -l"))

    def close_partitions(self) -> None:
        """Let jobs be queued, and none start."""
        for name in ("batch", "gpu_a100"):
            self._ask("scontrol", "update", f"partitionname={name}", "state=DOWN")

    def open_partitions(self) -> None:
        """Let jobs start."""
        for name in ("batch", "gpu_a100"):
            self._ask("scontrol", "update", f"partitionname={name}", "state=UP")

    def _ask(self, *words: str) -> str:
        done = subprocess.run(
            words, env=self.cluster.env(), capture_output=True, text=True, check=True
        )
        return done.stdout


@contextmanager
def private_slurm(min_job_age: int = 300) -> Iterator[Slurm]:
    """A Slurm of our own, stopped at the end."""
    ensure_installed()
    cluster = Cluster.start(min_job_age=min_job_age)
    try:
        folder = scratch()
        slurm = Slurm(cluster, folder / "calls", folder / "bin")
        _write_wrappers(slurm)
        slurm.close_partitions()
        yield slurm
    finally:
        cluster.stop()


def _write_wrappers(slurm: Slurm) -> None:
    """One line in the log for each call; then the real tool takes over the process."""
    slurm.wrappers.mkdir()
    for tool in SLURM_TOOLS:
        real = shutil.which(tool, path=slurm.cluster.env()["PATH"])
        if real is None:
            raise RuntimeError(f"{tool} is not installed")
        path = slurm.wrappers / tool
        log = shlex.quote(str(slurm.log))
        path.write_text(f'#!/bin/sh\necho {tool} >> {log}\nexec {shlex.quote(real)} "$@"\n')
        path.chmod(0o755)


def scratch() -> Path:
    """A new folder, deleted with all others when this program ends.

    Not earlier: ext4 is slow to make files for minutes after many were deleted.
    """
    return Path(tempfile.mkdtemp(dir=_base().name))


@cache
def _base() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="planit-benchmark-")
