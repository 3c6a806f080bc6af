"""The programs that benchmarks/local.py times: planit, its peers, and GNU make.

Each is told a shape and a size N: "nothing" is N independent steps that do nothing, "mix" is N
chains of three steps of 50 ms of CPU time and a join. Each runs two steps at once, ends when all
have, and fails if one did not run. Where a step is a shell line, the line starts a Python.
"""

from __future__ import annotations

import sys
from pathlib import Path

PEER_PACKAGES = {
    "submitit": ["submitit"],
    "gwf": ["gwf", "setuptools<81"],
    "dawgz": ["dawgz"],
    "snakemake": ["snakemake"],
}

WORK = """\
import time

def nothing(i=0):
    pass

def burn(i=0):
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass

if __name__ == "__main__":
    burn()
"""

PLANIT = """\
import json
import resource
import sys
import time
from pathlib import Path
import work
from planit import Chain, Parallel, SlurmArgs, Step
from planit.run import Run
from planit.backends.local.backend import LocalBackend
from planit.submit.new import NewRun

shape, count, isolation, watched = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
CPU = SlurmArgs(time="01:00:00", partition="batch")

def steps(i):
    return Chain(*[Step(f"{name}_{i}", work.burn, CPU, i) for name in ("a", "b", "c")])

def peak_mb(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return max((int(line.split()[1]) / 1024 for line in lines if line[:6] == "VmHWM:"), default=0.0)

if shape == "nothing":
    root = Parallel(*[Step(f"nothing_{i}", work.nothing, CPU, i) for i in range(count)])
else:
    root = Chain(Parallel(*map(steps, range(count))), Step("join", work.burn, CPU))
backend = LocalBackend(cpus=2, isolation=isolation, detach=False)
run, jobs = NewRun(plan="bench", root=root, base=Path("runs"), backend=backend).start()
engine_mb, engine = 0.0, backend.client.engine(1)
while watched and backend.engine.poll() is None:
    engine_mb = max(engine_mb, peak_mb(engine.pid))
    time.sleep(0.2)
code = backend.engine.wait()
if code == 0 and Run(run.path).status().succeeded:
    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"engine_mb": engine_mb, "submitter_mb": own_mb}))
else:
    sys.exit(f"the engine ended with {code}")
"""

PLANIT_CONFIG = """\
defaults: [{slurm: cpu}, {slurm@cpu: cpu}, {backend: local}, {plan: nothing}, _self_]
cpu: {cpus_per_task: 1}
action: describe
runs_dir: runs
"""

PLANIT_NOTHING = """\
# @package _global_
i: 0
plan:
  _target_: planit.Plan
  name: bench
  steps:
    nothing: {func: work.nothing, slurm_args: "${cpu}", i: "${i}"}
  root: nothing
"""

PLANIT_MIX = """\
# @package _global_
i: 0
plan:
  _target_: planit.Plan
  name: bench
  steps:
    a: {func: work.burn, slurm_args: "${cpu}", i: "${i}"}
    b: {func: work.burn, slurm_args: "${cpu}", i: "${i}"}
    c: {func: work.burn, slurm_args: "${cpu}", i: "${i}"}
    join: {func: work.burn, slurm_args: "${cpu}"}
  root: {_target_: planit.Chain, _args_: [a, b, c, join]}
"""

SUBMITIT = """\
import sys
import time
import submitit
import work

# It starts whatever it is given, at once: who wants two at once has to wait before giving more.
shape, count = sys.argv[1], int(sys.argv[2])
function, length = (work.nothing, 1) if shape == "nothing" else (work.burn, 3)
executor = submitit.LocalExecutor(folder="logs")
ready = [(i, 0) for i in reversed(range(count))]
running = []
while ready or running:
    for item in [item for item in running if item[0].done()]:
        running.remove(item)
        job, i, place = item
        job.result()
        if place + 1 < length:
            ready.append((i, place + 1))
    while ready and len(running) < 2:
        i, place = ready.pop()
        running.append((executor.submit(function, i), i, place))
    time.sleep(0.001)
if shape == "mix":
    executor.submit(function).result()
"""

DAWGZ = """\
import sys
import dawgz
import work

shape, count = sys.argv[1], int(sys.argv[2])
nothing, burn = dawgz.job(work.nothing), dawgz.job(work.burn)
if shape == "nothing":
    last, total = [nothing(i) for i in range(count)], count
else:
    join, total = burn(), 3 * count + 1
    last = [join]
    for i in range(count):
        a, b, c = burn(i), burn(i), burn(i)
        b.after(a)
        c.after(b)
        join.after(c)
scheduler = dawgz.schedule(*last, backend="async", name="bench", max_workers=2)
done = len(scheduler.results)
sys.exit(f"{done} of {total} jobs done" if scheduler.traces or done != total else 0)
"""

GWF = """\
import os
from gwf import Workflow

gwf = Workflow()
shape, count, python = os.environ["SHAPE"], int(os.environ["COUNT"]), os.environ["STEP_PYTHON"]
if shape == "nothing":
    for i in range(count):
        gwf.target(f"nothing_{i}", inputs=[], outputs=[f"n{i}"]) << f"{python} -c pass && : > n{i}"
else:
    for i in range(count):
        before = []
        for name in ("a", "b", "c"):
            spec = f"{python} work.py && : > {name}{i}"
            gwf.target(f"{name}_{i}", inputs=before, outputs=[f"{name}{i}"]) << spec
            before = [f"{name}{i}"]
    ends = [f"c{i}" for i in range(count)]
    gwf.target("join", inputs=ends, outputs=["end"]) << f"{python} work.py && : > end"
"""

GWF_DRIVER = """\
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from gwf.backends.local import Client

STUCK_S = 20
shape, count = sys.argv[1], int(sys.argv[2])
total = count if shape == "nothing" else 3 * count + 1
gwf = str(Path(sys.executable).with_name("gwf"))
with socket.socket() as free:
    free.bind(("localhost", 0))
    port = free.getsockname()[1]
settings = {"backend": "local", "local.port": port, "check_updates": False, "verbose": "error"}
Path(".gwfconf.json").write_text(json.dumps(settings))
command = [gwf, "-b", "local", "workers", "-n", "2", "-p", str(port)]
workers = subprocess.Popen(command, start_new_session=True)

def status():
    client = Client(("localhost", port))
    counts = Counter(state.name for state in client.status().values())
    client.close()
    return counts

try:
    while True:
        try:
            status()
            break
        except OSError:
            if workers.poll() is not None:
                sys.exit("its workers did not start")
            time.sleep(0.02)
    subprocess.run([gwf, "-b", "local", "run"], check=True)
    last, since = None, time.monotonic()
    while (counts := status())["COMPLETED"] < total and not counts["FAILED"]:
        if counts != last:
            last, since = counts, time.monotonic()
        if time.monotonic() - since > STUCK_S:
            break
        time.sleep(0.05)
    if counts["COMPLETED"] != total:
        sys.exit(f"stuck, {counts['COMPLETED']} of {total} targets done: {dict(counts)}")
finally:
    os.killpg(workers.pid, signal.SIGKILL)
    workers.wait()
"""

SNAKEFILE = {
    "nothing": """\
rule all:
    input: expand("n/{{i}}", i=range({count}))
rule nothing:
    output: touch("n/{{i}}")
    shell: "{python} -c pass"
""",
    "mix": """\
rule join:
    input: expand("c/{{i}}", i=range({count}))
    output: touch("end")
    shell: "{python} work.py"
rule a:
    output: touch("a/{{i}}")
    shell: "{python} work.py"
rule b:
    input: "a/{{i}}"
    output: touch("b/{{i}}")
    shell: "{python} work.py"
rule c:
    input: "b/{{i}}"
    output: touch("c/{{i}}")
    shell: "{python} work.py"
""",
}


def makefile(shape: str, count: int) -> str:
    """Phony targets whose recipes make executes without a shell."""
    pass_, work = f"\t@{sys.executable} -c pass", f"\t@{sys.executable} work.py"
    if shape == "nothing":
        names = [f"n{i}" for i in range(count)]
        return "\n".join([f"all: {' '.join(names)}", f"{' '.join(names)}:", pass_, ""])
    lines = [f"join: {' '.join(f'c{i}' for i in range(count))}", work]
    for i in range(count):
        lines += [f"c{i}: b{i}", work, f"b{i}: a{i}", work, f"a{i}:", work]
    return "\n".join([*lines, ""])


def write_programs(folder: Path, shape: str, count: int) -> None:
    """All programs for one shape and size, in a project of their own."""
    snakefile = SNAKEFILE[shape].format(count=count, python=sys.executable)
    for name, text in {
        "work.py": WORK,
        "use_planit.py": PLANIT,
        "use_submitit.py": SUBMITIT,
        "use_dawgz.py": DAWGZ,
        "use_gwf.py": GWF_DRIVER,
        "workflow.py": GWF,
        "Snakefile": snakefile,
        "Makefile": makefile(shape, count),
        "conf/config.yaml": PLANIT_CONFIG,
        "conf/plan/nothing.yaml": PLANIT_NOTHING,
        "conf/plan/mix.yaml": PLANIT_MIX,
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
