"""Three other users of the machine race with whoever submits, looks, resumes and loads results.

It needs root, who can be two users. Where planit refuses to work in a folder that others may write
to, all the better: what counts is whose uid ran the planted lines, and what was overwritten.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.faults.attacker import COMMAND, KINDS, NOBODY, SETUP
from tests.faults.place import Place
from tests.faults.plans import step
from tests.faults.results import Case, Result, Violation, rng_of, run_cases
from tests.helpers import HERE

CATEGORY, FULL = "attackers", 12
_VERBS = ["status", "logs", "cancel", "runs", "status p", "wait q"]
_RESUMES = ["resume", "resume q", "resume", "resume p"]
_SECRETS = {"notes": "mine\n", "keys": "secret\n"}


def run(
    count: int,
    seed: int,
    folder: Path,
    base: Mapping[str, str],
    *,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Let them race `count` times. Where this is not root there is nothing to run."""
    if os.geteuid() != 0:
        say(f"{CATEGORY}: left out, which needs root")
        return Result(CATEGORY, seed)
    sources = _sources(Place(folder / "sources", base))
    cases = [
        Case(
            "plant, swap and parent, " + ("sticky" if number % 3 == 2 else "open") + " folders",
            partial(_case, Place(folder / f"{CATEGORY}{number}", base), sources, seed, number),
        )
        for number in range(count)
    ]
    return run_cases(CATEGORY, seed, cases, at_once=2, only=only, say=say)


def _sources(place: Place) -> Path:
    """Failed runs on two backends, for the attackers to copy; and what a resume writes."""
    for backend in ("local", "slurm"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.attackers", backend, str(place.folder)],
            cwd=place.folder, env=place.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    found = place.folder / "found"
    found.mkdir()
    for backend in ("local", "slurm"):
        (made,) = (place.folder / backend).glob("p/*")
        shutil.copytree(made, found / backend, symlinks=True)
    before = _below(made)
    place.verb("resume", str(made))
    place.verb("cancel", str(made))
    touched = sorted(name for name, seen in _below(made).items() if before.get(name) != seen)
    (place.folder / "touched.json").write_text(json.dumps(touched))
    return place.folder


def _below(folder: Path) -> dict[str, int]:
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in paths}


def make_source(backend: str, folder: Path) -> None:
    """A run whose first step fails, with setup lines, a command and a function to replace."""
    import submitit

    from planit import Chain, Command, Plan, StepsFailedError
    from planit.nodes import Step
    from tests.faults import steps

    args = {"slurm_time": "5", "slurm_partition": "batch", "slurm_setup": [SETUP]}
    first = Command("first", f"{COMMAND}; false", args)
    second = Step("s0", steps.work, {**args, "slurm_time": "6"}, str(folder / "log"), "s0")
    plan = Plan("p", Chain(first, second))
    plan.submit(submitit.AutoExecutor(folder=folder / backend, cluster=backend))
    try:
        plan.wait()
    except StepsFailedError:
        return
    raise AssertionError("the source did not fail")


def _case(place: Place, sources: Path, seed: int, number: int) -> Sequence[Violation]:
    rng = rng_of(CATEGORY, seed, number)
    place.describe({"chain": [step("s0", setup=[SETUP]), step("s1", seconds=0.3), step("s2")]})
    _prepare(place, sources, sticky=number % 3 == 2)
    attackers = [_attacker(kind, place, f"{seed} {number}") for kind in KINDS]
    try:
        time.sleep(1)
        _work(place, rng)
    finally:
        for attacker in attackers:
            attacker.send_signal(signal.SIGTERM)
        codes = {attacker.wait(20) for attacker in attackers}
        place.clear()
    assert codes == {-signal.SIGTERM}, "an attacker gave up"
    return _judged(place)


def _attacker(kind: str, place: Place, seed: str) -> subprocess.Popen[bytes]:
    # Another user cannot write down what it covered, and would end with an error because of that.
    base = {name: value for name, value in place.base.items() if not name.startswith("COVERAGE_")}
    with (place.folder / f"attacker-{kind}").open("wb") as said:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.faults.attacker", kind, str(place.folder), seed],
            cwd="/",
            env={**base, "PYTHONPATH": HERE},
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def _prepare(place: Place, sources: Path, *, sticky: bool) -> None:
    """A shared folder with the runs, and the victim's own files elsewhere."""
    mode = 0o1777 if sticky else 0o777
    for name in ("shared", "shared/runs", "mine"):
        (place.folder / name).mkdir()
        (place.folder / name).chmod(mode)
    if not sticky:
        (place.folder / "shared" / "runs" / "p").mkdir()
        (place.folder / "shared" / "runs" / "p").chmod(mode)
    (place.folder / "runs").symlink_to("shared/runs")  # the place's own name for it
    os.chown(place.folder / "mine", NOBODY, NOBODY)
    (place.folder / "evil").mkdir()
    os.chown(place.folder / "evil", NOBODY, NOBODY)
    (place.folder / "planted").touch()
    (place.folder / "planted").chmod(0o666)
    shutil.copytree(sources / "found", place.folder / "sources", symlinks=True)
    shutil.copy(sources / "touched.json", place.folder / "touched.json")
    for path in (place.folder / "sources").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    (place.folder / "secret").mkdir()
    for name, text in _SECRETS.items():
        (place.folder / "secret" / name).write_text(text)


def _work(place: Place, rng: random.Random) -> None:
    """What the victim does: a submission whose results it loads, and some verbs meanwhile."""
    runs = str(place.folder / "shared" / "runs")
    submission = place.start("submit-and-load", str(place.folder), runs)
    for words in rng.sample([*_RESUMES, *rng.sample(_VERBS, 4)], 8):
        verb, *rest = words.split()
        process = place.start(verb, "--runs-dir", runs, *rest)
        try:
            process.wait(15)  # a planted run may never end
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            place.reap(process)
    try:
        submission.wait(20)
    except subprocess.TimeoutExpired:
        submission.kill()
        submission.wait()
    time.sleep(2)


def _judged(place: Place) -> Sequence[Violation]:
    uids = (place.folder / "planted").read_text().split()
    mine = [uid for uid in uids if uid != str(NOBODY)]
    found = (
        [Violation("foreign", f"{len(mine)} planted lines ran as uid {mine[0]}")] if mine else []
    )
    now = {
        p.name: p.read_text() if p.is_file() else "a folder"
        for p in (place.folder / "secret").iterdir()
    }
    if now != _SECRETS:
        changed = sorted(name for name in {*now, *_SECRETS} if now.get(name) != _SECRETS.get(name))
        found.append(Violation("foreign", f"the victim's own files were written: {changed}"))
    return found


if __name__ == "__main__":
    make_source(sys.argv[1], Path(sys.argv[2]))
