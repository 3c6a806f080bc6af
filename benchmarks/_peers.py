"""The programs that benchmarks/sweep.py times: planit, its peers, and Slurm alone.

Each submits N branches of two steps and a join, to a Slurm that starts nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.measuring import last_line, say

PEER_PACKAGES = {
    "hydra-submitit-launcher": ["hydra-submitit-launcher", "hydra-core>=1.3,<1.4.0.dev0"],
    "dawgz": ["dawgz"],
    "gwf": ["gwf", "setuptools<81"],
}

WORK = """\
def first(i): ...
def second(i): ...
def join(): ...
"""

LIMIT = """\
set -e
count=$1 size=1001 all=
options="--parsable --time=60 --partition=batch --output=/dev/null --wrap=true"
for ((start = 0; start < count; start += size)); do
  last=$((count - start < size ? count - start - 1 : size - 1))
  first=$(sbatch $options --array=0-$last)
  second=$(sbatch $options --array=0-$last --dependency=aftercorr:$first)
  all=$all:$second
done
sbatch $options --dependency=afterok$all
"""

PLANIT = """\
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
plan.submit(submitit.AutoExecutor(folder="runs", cluster="slurm"))
"""

PLANIT_YAML = """\
# @package _global_
i: 0
plan:
  _target_: planit.Plan
  name: sweep
  steps:
    first: {func: work.first, slurm_args: "${cpu}", i: "${i}"}
    second: {func: work.second, slurm_args: "${cpu}", i: "${i}"}
    join: {func: work.join, slurm_args: "${cpu}"}
  root: {_target_: planit.Chain, _args_: [first, second, join]}
"""

PLANIT_CONFIG = """\
defaults: [{slurm: cpu}, {slurm@cpu: cpu}, {backend: slurm}, {plan: sweep}, _self_]
action: describe
runs_dir: runs
"""

SUBMITIT = """\
import sys
import submitit
import work

executor = submitit.SlurmExecutor(folder="logs")

def submit(after, function, *args):
    executor.update_parameters(time=60, partition="batch", dependency=after)
    return executor.submit(function, *args).job_id

last = []
for i in range(int(sys.argv[1])):
    first = submit(None, work.first, i)
    last.append(submit(f"afterok:{first}", work.second, i))
submit("afterok:" + ":".join(last), work.join)
"""

LAUNCHER = """\
import hydra
import work

@hydra.main(version_base="1.3", config_path="app_conf", config_name="config")
def main(config):
    work.first(config.i)

main()
"""

DAWGZ = """\
import sys
import dawgz
import work

options = {"cpus": 1, "time": "01:00:00", "partition": "batch"}
first, second, join = (dawgz.job(f, **options) for f in (work.first, work.second, work.join))
count, arrays = int(sys.argv[1]), sys.argv[2] == "arrays"
firsts, seconds = [first(i) for i in range(count)], [second(i) for i in range(count)]
last = join()
if arrays:
    last.after(dawgz.array(*seconds).after(dawgz.array(*firsts)))
else:
    for before, after in zip(firsts, seconds):
        after.after(before)
    last.after(*seconds)
scheduler = dawgz.schedule(last, backend="slurm", name="sweep")
sys.exit("".join(scheduler.traces.values())[-500:] if scheduler.traces else 0)
"""

GWF = """\
import os
from gwf import Workflow

gwf = Workflow(defaults={"cores": 1, "walltime": "01:00:00", "queue": "batch"})
count = int(os.environ["COUNT"])
for i in range(count):
    gwf.target(f"first_{i}", inputs=[], outputs=[f"a{i}"]) << f"touch a{i}"
    gwf.target(f"second_{i}", inputs=[f"a{i}"], outputs=[f"b{i}"]) << f"touch b{i}"
gwf.target("join", inputs=[f"b{i}" for i in range(count)], outputs=["c"]) << "touch c"
"""


def write_programs(folder: Path) -> None:
    """All programs, in a project of their own."""
    for name, text in {
        "work.py": WORK,
        "limit.sh": LIMIT,
        "use_planit.py": PLANIT,
        "use_submitit.py": SUBMITIT,
        "use_launcher.py": LAUNCHER,
        "use_dawgz.py": DAWGZ,
        "workflow.py": GWF,
        "conf/config.yaml": PLANIT_CONFIG,
        "conf/plan/sweep.yaml": PLANIT_YAML,
        "app_conf/config.yaml": "i: 0\n",
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def peer_environment(
    packages: Mapping[str, Sequence[str]] = PEER_PACKAGES, name: str = "peers"
) -> tuple[Path, dict[str, str], dict[str, str]]:
    """The bin folder of a virtual environment with the peers, why some are not in it, versions.

    It is made once and kept in ~/.cache under `name`.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    tag = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = cache / "planit-benchmarks" / f"{name}-{tag}"
    done = folder / "failures.json"
    if not done.exists():
        say(f"installing {', '.join(packages)} into {folder}")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        tried = {peer: _install(folder, words) for peer, words in packages.items()}
        failures = {peer: why for peer, why in tried.items() if why is not None}
        done.write_text(json.dumps(failures))
    failures = json.loads(done.read_text())
    if failures:
        done.unlink()  # so that the next run tries again
    listing = subprocess.run(
        [str(folder / "bin" / "python"), "-m", "pip", "list", "--format=json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    versions = {item["name"]: item["version"] for item in json.loads(listing)}
    return folder / "bin", failures, versions


def _install(folder: Path, packages: Sequence[str]) -> str | None:
    words = ["-m", "pip", "install", "--quiet", *packages]
    done = subprocess.run(
        [str(folder / "bin" / "python"), *words], capture_output=True, text=True, check=False
    )
    return None if done.returncode == 0 else f"not installed: {last_line(done.stderr)}"
