"""Submissions that are killed while sbatch is slow, then resumed or cancelled, and killed again."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.faults import plans
from tests.faults.place import Place, wait_until
from tests.faults.plans import Wanted
from tests.faults.results import Case, Result, Violation, at_once_here, rng_of, run_cases
from tests.helpers import Done

CATEGORY, FULL = "kills", 100
_TRIES = 5

# sbatch as it is where slurmctld is busy: the request goes on whatever becomes of who made it.
SLOW = """
n=$(wc -l < "$D/calls"); echo begin >> "$D/calls"
B=({before}); A=({after}); N=${{#B[@]}}
export b=${{B[n % N]}} o="$D/sbatch.$$" D
export -f real
setsid bash -c 'sleep $b; real "$@" > $o.out 2> $o.err; echo $? > $o.code; echo >> "$D/ended"' \\
    sbatch "$@" > /dev/null 2>&1 &
wait $!
sleep ${{A[n % N]}}
cat $o.out; cat $o.err >&2; exit $(cat $o.code)
"""


def run(
    count: int,
    seed: int,
    folder: Path,
    base: Mapping[str, str],
    *,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Kill `count` submissions at random moments; `base` is the environment of the Slurm."""
    cases = [
        Case(
            _name(rng_of(CATEGORY, seed, number)),
            partial(_case, Place(folder / f"{CATEGORY}{number}", base), seed, number),
        )
        for number in range(count)
    ]
    return run_cases(CATEGORY, seed, cases, at_once=at_once_here(6), only=only, say=say)


def _name(rng: random.Random) -> str:
    how, late, verbs, end = _choices(rng)
    slow = "a late sbatch" if late else "slow sbatch"
    return f"{slow}, {how.name}, {', '.join([*verbs, 'then ' + end])}"


def _choices(rng: random.Random) -> tuple[signal.Signals, bool, list[str], str]:
    how = rng.choice([signal.SIGKILL] * 4 + [signal.SIGINT])
    late = rng.random() < 0.4
    verbs = [
        rng.choice(["resume killed", "cancel killed"]) for _ in range(rng.choice([0, 0, 1, 2]))
    ]
    return how, late, verbs, rng.choice(["resume", "cancel", "cancel and resume"])


def _case(place: Place, seed: int, number: int) -> Sequence[Violation]:
    rng = rng_of(CATEGORY, seed, number)
    choices = _choices(rng)
    place.describe(plans.random_spec(rng))
    try:
        return _attack(place, rng, *choices)
    finally:
        place.clear()


def _attack(
    place: Place,
    rng: random.Random,
    how: signal.Signals,
    late: bool,
    verbs: Sequence[str],
    end: str,
) -> Sequence[Violation]:
    before = [rng.uniform(0, 0.6) for _ in range(8)]
    after = [rng.uniform(0, 0.4) for _ in range(8)]
    call = rng.randrange(len(place.spec["chain"]))
    if late:
        before[call] = rng.uniform(2.0, 5.0)
    place.wrap("sbatch", SLOW.format(before=_words(before), after=_words(after)))
    (place.folder / "calls").touch()
    (place.folder / "ended").touch()
    submission = place.start("submit", str(place.folder))
    if late or rng.random() < 0.6:  # in the middle of a call; else anywhere
        wait_until(
            lambda: _count(place, "calls") > call or submission.poll() is not None, 60, "call"
        )
        place.kill(submission, how, rng.uniform(0, min(before[call] + after[call], 1.5)))
    else:
        place.kill(submission, how, rng.uniform(0, sum(before[:6]) + 1.0))
    wanted = Wanted()
    for words in verbs:
        _killed_verb(place, rng, words.split()[0], wanted)
    if not list(place.runs.glob("*/*/manifest.json")):
        return [*place.strays(), *plans.judge(place.lines, place.spec)]
    found: list[Violation] = []
    if end != "resume":
        found += _cancelled(place, wanted)
    if end != "cancel":
        found += _resumed(place, wanted)
    return [*found, *plans.judge(place.lines, place.spec, wanted)]


def _killed_verb(place: Place, rng: random.Random, verb: str, wanted: Wanted) -> None:
    began = time.time()
    process = place.start(verb, "--runs-dir", str(place.runs))
    how = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGINT])
    place.kill(process, how, rng.uniform(0, 2.0))
    if verb == "cancel":
        wanted.cancels.append((began, time.time()))


def _cancelled(place: Place, wanted: Wanted) -> Sequence[Violation]:
    """Cancel at once, and again when the late sbatch calls had their time: nothing is left."""
    _, found = _insist(place, "cancel", wanted)
    _wait_for_late(place)
    _, again = _insist(place, "cancel", wanted)
    return [*found, *again, *place.strays()]


def _resumed(place: Place, wanted: Wanted) -> Sequence[Violation]:
    """Resume until all is done, and once more when the late sbatch calls had their time."""
    _, found = _insist(place, "resume", wanted)
    _wait_for_late(place)
    states = place.run_to_end()
    last, again = _insist(place, "resume", wanted)
    if set(states.values()) != {"DONE"}:
        states = place.run_to_end()
    more = [Violation("other", f"not all DONE after resume: {states}, {last.out.strip()[-200:]}")]
    return [*found, *again, *place.strays(), *(more if set(states.values()) != {"DONE"} else [])]


def _insist(place: Place, verb: str, wanted: Wanted) -> tuple[Done, Sequence[Violation]]:
    """Say it until it succeeds; that it never does is a violation."""
    for _ in range(_TRIES):
        began = time.time()
        done = place.verb(verb)
        if verb == "cancel":
            wanted.cancels.append((began, time.time()))
        if done.code == 0:
            return done, []
        time.sleep(2)
    words = f"{verb} fails for good, exit code {done.code}: {done.out.strip()[-300:]}"
    return done, [Violation("other", words)]


def _wait_for_late(place: Place) -> None:
    wait_until(lambda: _count(place, "ended") >= _count(place, "calls"), 60, "late sbatch calls")


def _count(place: Place, name: str) -> int:
    return len((place.folder / name).read_text().splitlines())


def _words(numbers: Sequence[float]) -> str:
    return " ".join(f"{number:.2f}" for number in numbers)
