"""Changes the package a little, one place at a time, and tells which changes no test notices.

    python -m tests.mutation planit/status planit/submit --count 35 --seed 9

takes 35 mutants of these modules or folders by chance, and runs the tests that need no Slurm on
each, in a copy of the tree: a comparison is turned round, a condition negated, "and" becomes "or",
a number, a truth value or a key differs, a function returns None, a statement is left out. What is
printed as SURVIVED is a change that the tests let pass. The exit code is 1 below --goal.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import ROOT
from tests.mutation.mutants import Mutant, mutants

_NEEDS_SLURM = ("slurm", "contract", "cluster", "faults", "mutation")
_LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "planit_runs", "build", "dist")


def main(words: Sequence[str] | None = None) -> int:
    args = _parse(words)
    found = [
        mutant
        for given in args.paths
        for path in ([given] if given.is_file() else sorted(given.rglob("*.py")))
        for mutant in mutants(path)
    ]
    chosen = random.Random(args.seed).sample(found, min(args.count, len(found)))
    tests = args.tests or _tests_of(args.paths)
    print(f"{len(chosen)} of {len(found)} mutants; tests: {' '.join(map(str, tests))}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        copy = Path(folder, "tree")
        shutil.copytree(ROOT, copy, ignore=_LEFT_OUT)
        if not _pass(copy, tests, args.timeout_s):
            print("the tests fail without a mutant")
            return 2
        survivors = [one for one in chosen if _survives(copy, one, tests, args.timeout_s)]
    share = 1 - len(survivors) / len(chosen)
    print(f"noticed: {len(chosen) - len(survivors)} of {len(chosen)} ({share:.0%})")
    return 0 if share >= args.goal else 1


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("paths", nargs="+", type=_below_root, help="modules or folders of the package")
    add("--count", type=int, default=35, help="how many mutants (35)")
    add("--seed", type=int, default=0, help="which ones: the same seed takes the same (0)")
    add("--goal", type=float, default=0.85, help="share that has to be noticed (0.85)")
    add("--timeout-s", type=float, default=120, help="tests that take longer noticed it (120)")
    add("--tests", nargs="+", help="tests to run; by default the folders that mirror the paths")
    return parser.parse_args(words)


def _below_root(word: str) -> Path:
    return Path(word).absolute().relative_to(ROOT)


def _tests_of(paths: Sequence[Path]) -> list[Path]:
    """The folders of tests that mirror the rooms; all that need no Slurm where there is none."""
    rooms = [Path("tests", *path.parts[1:2]) for path in paths]
    if all(room.is_dir() for room in rooms):
        return list(dict.fromkeys(rooms))
    tests = sorted(Path("tests").glob("*"))
    return [one for one in tests if one.name.startswith("test_") or _is_unit(one)]


def _is_unit(folder: Path) -> bool:
    return (folder / "__init__.py").exists() and folder.name not in _NEEDS_SLURM


def _survives(copy: Path, mutant: Mutant, tests: Sequence[object], timeout_s: float) -> bool:
    path = copy / mutant.path
    source, age = path.read_bytes(), path.stat().st_mtime
    path.write_bytes(mutant.applied(source))
    # Python would take the bytecode of a file of the same length and the same second.
    os.utime(path, (age + 100, age + 100 + mutant.start))
    try:
        survives = _pass(copy, tests, timeout_s)
    finally:
        path.write_bytes(source)
        os.utime(path, (age, age))
    print(f"{'SURVIVED' if survives else 'noticed '}  {mutant}", flush=True)
    return survives


def _pass(copy: Path, tests: Sequence[object], timeout_s: float) -> bool:
    """Whether the tests pass in the copy; its processes are ended with them."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", *map(str, tests)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return process.wait(timeout_s) == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
