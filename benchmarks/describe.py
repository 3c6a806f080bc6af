"""Showing a plan: from the command line, and with up to 100,000 steps from Python.

The limit of the command line is a bare ``@hydra.main`` app that composes the same configuration
and prints it; the goal is at most 1.5 times that. The limit of the Python API is linear growth;
the goal is 100,000 steps in under 5 s.

    python -m benchmarks.describe [--quick]
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measuring import (
    ROOT,
    Sample,
    arguments,
    interleaved,
    peak_of,
    plain_env,
    print_table,
    run_timed,
    scratch,
    seconds_of,
)

QUIET = ("hydra.run.dir=.", "hydra.output_subdir=null", "hydra.job.chdir=false")
NO_LOGGING = ("hydra/job_logging=none", "hydra/hydra_logging=none")

BARE_APP = """\
import hydra
from omegaconf import DictConfig, OmegaConf

@hydra.main(version_base="1.3", config_path={conf!r}, config_name="planit")
def main(config: DictConfig) -> None:
    print(OmegaConf.to_yaml(config, resolve=True))

main()
"""

# Builds a plan, describes it, and prints the seconds of both.
FROM_PYTHON = """\
import sys, time
from planit import Chain, Parallel, Plan, SlurmArgs, Step
count, shape = int(sys.argv[1]), sys.argv[2]
cpu, gpu = SlurmArgs("01:00:00", "batch"), SlurmArgs("02:00:00", "gpu_a100", gpus_per_node=1)
def work(i): ...
start = time.perf_counter()
if shape == "chain":
    root = Chain(*[Step(f"step_{i}", work, cpu, i) for i in range(count)])
else:
    root = Parallel(*[
        Chain(Step(f"prepare_{i}", work, cpu, i), Step(f"train_{i}", work, gpu, i))
        for i in range(count // 2)
    ])
plan = Plan("benchmark", root)
built = time.perf_counter()
plan.describe()
print(built - start, time.perf_counter() - built, file=sys.stderr)
"""


def main() -> None:
    options = arguments(__doc__)
    repeats = 3 if options.quick else 11
    head = ("what", "median s", "ratio", "us/step", "peak MB")
    rows = command_line(repeats)
    sizes = (1_000, 10_000) if options.quick else (1_000, 10_000, 100_000)
    rows += from_python(sizes, 1 if options.quick else 3)
    print_table(head, rows)


def command_line(repeats: int) -> list[tuple[str, ...]]:
    """`planit plan=thesis` against Hydra alone."""
    folder = scratch()
    bare = folder / "bare.py"
    bare.write_text(BARE_APP.format(conf=str(ROOT / "conf")))
    python, plan = sys.executable, "plan=thesis"
    commands = {
        "hydra.main alone (the limit)": [python, str(bare), f"+{plan}"],
        "  the same, no folder, no logging": [python, str(bare), f"+{plan}", *QUIET, *NO_LOGGING],
        "python -m planit plan=thesis": [python, "-m", "planit", plan],
        "  python -c pass, for comparison": [python, "-c", "pass"],
    }
    cases = {name: partial(_run, words, folder) for name, words in commands.items()}
    results = interleaved(cases, repeats)
    limit = results["hydra.main alone (the limit)"]
    assert isinstance(limit, list), limit
    rows: list[tuple[str, ...]] = []
    for name, samples in results.items():
        if isinstance(samples, str):
            rows.append((name, samples))
            continue
        seconds = seconds_of(samples)
        ratio = f"{seconds / seconds_of(limit):.2f}"
        rows.append((name, f"{seconds:.3f}", ratio, "", peak_of(samples)))
    return rows


def _run(words: list[str], folder: Path) -> Sample:
    return run_timed(words, cwd=folder, env=plain_env()).check()


def from_python(sizes: tuple[int, ...], repeats: int) -> list[tuple[str, ...]]:
    """Build and describe plans; the ratio is the time per step against the smallest size."""
    rows: list[tuple[str, ...]] = []
    for shape in ("branches", "chain"):
        first: float | None = None
        for size in sizes:
            built, shown, peak = _plan_times(size, shape, repeats)
            per_step = (built + shown) / size
            first = first or per_step
            name = f"Python, {size:,} steps in {'one ' if shape == 'chain' else ''}{shape}"
            detail = f"{name} (build {built:.3f}, describe {shown:.3f})"
            micros, ratio = f"{per_step * 1e6:.1f}", f"{per_step / first:.2f}"
            rows.append((detail, f"{built + shown:.3f}", ratio, micros, peak))
    return rows


def _plan_times(size: int, shape: str, repeats: int) -> tuple[float, float, str]:
    """Median seconds to build, to describe, and peak MB, each time in a fresh process."""
    found: list[tuple[float, float]] = []
    samples: list[Sample] = []
    for _ in range(repeats):
        words = [sys.executable, "-c", FROM_PYTHON, str(size), shape]
        sample = run_timed(words, env=plain_env()).check()
        built, shown = sample.output.splitlines()[-1].split()
        found.append((float(built), float(shown)))
        samples.append(sample)
    built_s, shown_s = (median(column) for column in zip(*found, strict=True))
    return built_s, shown_s, peak_of(samples)


if __name__ == "__main__":
    main()
