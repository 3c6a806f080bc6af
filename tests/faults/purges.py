"""Failed parents that Slurm has purged before it looks at what waits for them.

Of the pending tasks of an `aftercorr` array Slurm looks at the first ten only (slurm.conf manual,
"correspond_after_task_cnt"), and a parent that it has forgotten counts as satisfied. Here the first
trains take all CPUs until every prep, failed ones too, is forgotten (MinJobAge=2).
"""

from __future__ import annotations

import random
import shlex
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.cluster import Cluster
from tests.faults import plans
from tests.faults.place import Place, wait_until
from tests.faults.plans import Spec, step
from tests.faults.results import Case, Result, Violation, rng_of, run_cases

CATEGORY, FULL = "purges", 20
_TRAIN_CPUS = 8  # of 128: so 16 run at once, and Slurm looks at ten more
_LOOKED_AT = 30
_PURGED_S = 300.0
_WIDTHS = (40, 40, 60, 80, 120, 200)


def run(
    count: int,
    seed: int,
    folder: Path,
    base: Mapping[str, str],
    *,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
    widest: int = 200,
) -> Result:
    """Run `count` plans of up to `widest` chains on a private Slurm of their own.

    `base` is not used: it is the environment of a Slurm that forgets nothing.
    """
    cluster = Cluster.start(min_job_age=2)
    try:
        cases = [
            _case_of(folder / f"{CATEGORY}{number}", cluster.env(), seed, number, widest)
            for number in range(count)
        ]
        return run_cases(CATEGORY, seed, cases, at_once=2, only=only, say=say)
    finally:
        cluster.stop()


def _case_of(folder: Path, base: Mapping[str, str], seed: int, number: int, widest: int) -> Case:
    rng = rng_of(CATEGORY, seed, number)
    width = rng.choice([width for width in _WIDTHS if width <= widest])
    check, what = (_resumed, "resume behind live preps") if number % 4 == 3 else (_submitted, "new")
    width = min(width, 40) if check is _resumed else width
    bad = sorted(rng.sample(range(_LOOKED_AT, width), rng.randint(1, 5)))
    name = f"{what}, {width} chains, of which {bad} fail"
    return Case(name, partial(_case, check, folder, base, width, bad, rng))


def _case(
    check: Callable[[Place, list[int]], Sequence[Violation]],
    folder: Path,
    base: Mapping[str, str],
    width: int,
    bad: list[int],
    rng: random.Random,
) -> Sequence[Violation]:
    place = Place(folder, base)
    (place.folder / "bad").touch()
    place.describe(_spec(place, width, bad, check is _resumed, rng.random() < 0.5))
    try:
        return check(place, bad)
    finally:
        (place.folder / "go").touch()
        place.clear()


def _spec(place: Place, width: int, bad: list[int], live: bool, join: bool) -> Spec:
    """Chains prep -> train -> eval; the setup lines tell too that a step was let go."""
    go, fail = str(place.folder / "go"), str(place.folder / "bad")
    setup = [f'printf "%s\\n" "$PLANIT_STEP" >> {shlex.quote(str(place.folder / "setup"))}']
    rows: list[Spec] = []
    for i in range(width):
        words = {"go": str(place.folder / "fail-now") if i in bad else go} if live else {}
        words |= {"bad": fail} if i in bad else {}
        first = {} if live or i >= _LOOKED_AT - 10 else {"go": go}
        train = step(f"train{i}", setup=setup, cpus=_TRAIN_CPUS, **first)
        rows.append({"chain": [step(f"prep{i}", **words), train, step(f"eval{i}", setup=setup)]})
    spec: Spec = {"chain": [{"parallel": rows}]}
    if join:
        spec["chain"].append(step("join", setup=setup))
    return spec


def _submitted(place: Place, bad: list[int]) -> Sequence[Violation]:
    """All preps are purged while the first trains run on."""
    done = place.submit()
    assert done.code == 0, done.out
    _wait_for_purge(place, bad, live=False)
    (place.folder / "go").touch()
    return _judged(place, bad)


def _resumed(place: Place, bad: list[int]) -> Sequence[Violation]:
    """A resume behind running preps, of which some fail and are purged before its sbatch calls."""
    assert place.submit().code == 0
    preps = [name for name in plans.names(place.spec) if name.startswith("prep")]
    wait_until(lambda: len(place.lines) >= len(preps), 120, "all preps run")
    behind = [name for name in plans.names(place.spec) if name.startswith(("train", "join"))]
    cancelled = place.verb("cancel", *behind)
    assert cancelled.code == 0, cancelled.out
    place.wrap(
        "sbatch", 'touch "$D/asked"; while [ ! -e "$D/purged" ]; do sleep 0.2; done\nreal "$@"'
    )
    resume = place.start("resume", "--runs-dir", str(place.runs), env={"FAULTS_TIMEOUT_S": "300"})
    wait_until((place.folder / "asked").exists, 60, "resume asks for a job")
    (place.folder / "fail-now").touch()
    _wait_for_purge(place, bad, live=True)
    (place.folder / "purged").touch()
    place.finish(resume)
    (place.folder / "go").touch()
    return _judged(place, bad)


def _wait_for_purge(place: Place, bad: list[int], *, live: bool) -> None:
    last = str(len(place.spec["chain"][0]["parallel"]) - 1)
    failed = {f"prep{i}" for i in bad}

    def purged() -> bool:
        time.sleep(1)
        begun = {line.name: line.job for line in place.lines if line.name.startswith("prep")}
        if not failed <= begun.keys():
            return False
        shown = place.slurm("squeue", "-h", "-r", "-t", "all", "-o", "%F %K %T").splitlines()
        preps = [line.split() for line in shown if line.split()[0] in begun.values()]
        if live:  # Slurm keeps the record of the last task as long as the array
            return not any(state == "FAILED" and index != last for _, index, state in preps)
        return not preps

    wait_until(purged, _PURGED_S, "the failed preps are purged")


def _judged(place: Place, bad: list[int]) -> Sequence[Violation]:
    """Nothing behind a failed prep ran a line; everything else did, once."""
    everything = plans.names(place.spec)
    doomed = {f"{name}{i}" for name in ("train", "eval") for i in bad} | {"join"}
    well = [n for n in everything if n not in doomed and n not in {f"prep{i}" for i in bad}]
    place.wait_for_ends(well, 240)
    states: dict[str, str] = {}
    for _ in range(10):
        shown = place.status()
        states = {step["name"]: step["state"] for step in shown.get("steps", [])}
        if shown.get("final"):
            break
        time.sleep(2)
    time.sleep(3)
    setup = place.folder / "setup"
    let_go = set(setup.read_text().splitlines()) if setup.exists() else set()
    ran = {line.name for line in place.lines} | let_go
    found = [
        Violation("early", f"{name} ran behind a failed prep") for name in sorted(ran & doomed)
    ]
    found += plans.judge(place.lines, place.spec)
    wrong = {name: states.get(name, "?") for name in well if states.get(name) != "DONE"}
    wrong |= {n: states.get(n, "?") for n in everything if n in doomed and states.get(n) == "DONE"}
    if wrong:
        found.append(Violation("other", f"wrong states: {dict(list(wrong.items())[:6])}"))
    place.verb("cancel")
    return [*found, *place.strays()]
