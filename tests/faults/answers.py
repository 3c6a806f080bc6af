"""Slurm's clients give wrong answers for a while: what planit believes, says and does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults import plans
from tests.faults.place import Place, wait_until
from tests.faults.plans import Wanted, step
from tests.faults.results import Case, Result, Violation, at_once_here, rng_of, run_cases

CATEGORY, FULL = "answers", 50
_TIMEOUT_S = 4.0
_DENIED = "scancel: error: Kill job error on job id 7: Access/permission denied"
_GONE = "error: Unable to contact slurm controller (connect failure)"
_TIMED_OUT = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
_SAYS_TIMED_OUT = f"echo '{_TIMED_OUT}' >&2; exit 1"
_HEAD = 'real "$@" | head -1'
_LATER = 'setsid bash -c \'sleep 2; real "$@" > /dev/null 2>&1\' sbatch "$@" > /dev/null 2>&1 &'


@dataclass(frozen=True)
class Wrong:
    """A wrong answer: from which tool, how, and the environment that brings it about."""

    tool: str
    name: str
    text: str = ""
    env: tuple[tuple[str, str], ...] = ()


# What any tool that is asked for something may say.
_ASKED = {
    "an error with exit 0": f"echo 'slurm_load_jobs {_GONE}' >&2; exit 0",
    "nothing with exit 0": "exit 0",
    "exit 1": "exit 1",
    "no answer": "exec sleep 9",
    "half an answer": 'real "$@" > "$D/whole.$$"; c=$?; s=$(stat -c %s "$D/whole.$$");'
    ' head -c $((s / 2)) "$D/whole.$$"; exit $c',
    "a banner before it": 'echo "Welcome! 4242 jobs are running on 17 nodes."; real "$@"',
}
_FILTERS = {
    "SQUEUE_ACCOUNT": "nobodys",
    "SQUEUE_NAMES": "nothing",
    "SQUEUE_QOS": "none",
    "SQUEUE_PARTITION": "gpu_a100",
    "SQUEUE_STATES": "SUSPENDED",
    "SQUEUE_USERS": "nobody",
    "LOGNAME": "nobody",
    "USER": "nobody",
    "SLURM_CLUSTERS": "beta",
    "SQUEUE_CLUSTERS": "alpha,beta",
    "SACCT_FORMAT": "User",
}
LOOKING = [
    *(Wrong("squeue", name, text) for name, text in _ASKED.items()),
    Wrong("squeue", "another cluster's", 'real -M beta "$@"'),
    Wrong("squeue", "its first line alone", _HEAD),
    *(Wrong("sacct", name, text) for name, text in _ASKED.items()),
    *(Wrong("squeue", f"{key}={value}", env=((key, value),)) for key, value in _FILTERS.items()),
]
CANCELLING = [
    Wrong("scancel", "does nothing, exit 0", "exit 0"),
    Wrong("scancel", "denies, exit 1", f"echo '{_DENIED}' >&2; exit 1"),
    Wrong("scancel", "denies, exit 0", f"echo '{_DENIED}' >&2; exit 0"),
    Wrong("scancel", "cannot be reached", f"echo 'scancel: {_GONE}' >&2; exit 1"),
    Wrong("scancel", "no answer, and does nothing", "exec sleep 9"),
    Wrong("scancel", "no answer, and does it", 'real "$@"; exec sleep 9'),
    Wrong("scancel", "does it and says exit 1", 'real "$@"; exit 1'),
]
SUBMITTING = [
    Wrong("sbatch", "times out, accepted two seconds later", f"{_LATER} {_SAYS_TIMED_OUT}"),
    Wrong("sbatch", "no answer, accepted two seconds later", f"{_LATER} exec sleep 9"),
    Wrong("sbatch", "accepted, and says it timed out", f'real "$@" > /dev/null; {_SAYS_TIMED_OUT}'),
    Wrong("sbatch", "accepted, and says nothing", 'real "$@" > /dev/null'),
    Wrong("sbatch", "nothing with exit 0", "exit 0"),
    Wrong("sbatch", "an error with exit 0", f"echo '{_TIMED_OUT}' >&2; exit 0"),
    Wrong("sbatch", "exit 1", "exit 1"),
    Wrong("sbatch", "a banner 4242 behind the id", 'real "$@"; echo 4242'),
    Wrong("sbatch", "a banner 4242 before the id", 'echo 4242; real "$@"'),
    Wrong("sbatch", "a banner instead of the id", 'real "$@" > /dev/null; echo 4242'),
    Wrong("sbatch", "half of the id", 'real "$@" | head -c 1'),
    Wrong("sbatch", "SBATCH_ARRAY_INX", env=(("SBATCH_ARRAY_INX", "0-5"),)),
    Wrong("sbatch", "SBATCH_DEPENDENCY", env=(("SBATCH_DEPENDENCY", "afterok:999999"),)),
    Wrong("sbatch", "SBATCH_NO_REQUEUE", env=(("SBATCH_NO_REQUEUE", "1"),)),
    Wrong("scontrol", "releases nothing, exit 0", '[[ "$*" = *release* ]] || real "$@"'),
    Wrong("scontrol", "releases and says exit 1", 'real "$@"; [[ "$*" != *release* ]]'),
]  # fmt: skip


def _all() -> list[tuple[Wrong, str]]:
    """Each wrong answer once, with the moment at which it is given: 50 in all."""
    looks = ["status, resume", "cancel", "cancel train", "resume"]
    looking = [(wrong, looks[i % len(looks)]) for i, wrong in enumerate(LOOKING)]
    return [*looking, *((w, "cancel") for w in CANCELLING), *((w, "submit") for w in SUBMITTING),
            (SUBMITTING[0], "resubmit"), (SUBMITTING[3], "resubmit")]  # fmt: skip


def run(
    count: int,
    seed: int,
    folder: Path,
    base: Mapping[str, str],
    *,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Give `count` wrong answers, in an order that the seed chooses."""
    chosen = _all()
    random.Random(f"{CATEGORY} {seed}").shuffle(chosen)
    many = [chosen[number % len(chosen)] for number in range(count)]
    cases = [
        Case(
            f"{wrong.tool}: {wrong.name} ({moment})",
            partial(_case, folder / f"{CATEGORY}{number}", base, wrong, moment, seed, number),
        )
        for number, (wrong, moment) in enumerate(many)
    ]
    return run_cases(CATEGORY, seed, cases, at_once=at_once_here(5), only=only, say=say)


@dataclass
class _Wronged:
    """A run whose planit hears a wrong answer, for some calls."""

    place: Place
    wrong: Wrong
    calls: int

    def __enter__(self) -> dict[str, str]:
        if self.wrong.text:
            self._wrap(self.wrong.tool, self.wrong.text)
        if self.wrong.tool == "squeue":  # else accounting would put it right
            self._wrap("sacct", "echo 'Slurm accounting storage is disabled' >&2; exit 1")
        if self.wrong.tool == "sacct":  # else nobody asks it
            self._wrap("squeue", _HEAD)
        return dict(self.wrong.env)

    def _wrap(self, tool: str, text: str) -> None:
        left = self.place.folder / f"left-{tool}"
        left.write_text("x" * self.calls)
        self.place.wrap(
            tool,
            f'export D; export -f real; L="{left}"; s=$(stat -c %s "$L")\n'
            f'if [ "$s" -eq 0 ]; then real "$@"; exit; fi\ntruncate -s -1 "$L"\n{text}',
        )

    def __exit__(self, *_: object) -> None:
        self.place.unwrap()


def _case(
    folder: Path, base: Mapping[str, str], wrong: Wrong, moment: str, seed: int, number: int
) -> Sequence[Violation]:
    place = Place(folder, base, _TIMEOUT_S)
    rng = rng_of(CATEGORY, seed, number)
    go = str(place.folder / "go")
    rows = [{"chain": [step(f"prep{i}"), step(f"train{i}", go=go)]} for i in range(2)]
    train = step("train", go=go)
    place.describe({"chain": [step("first"), {"parallel": [train, *rows]}, step("last")]})
    lasting = _Wronged(place, wrong, rng.choice([1, 1, 2, 3, 99]))
    try:
        if moment == "submit":
            return _while_submitting(place, lasting)
        return _while_it_runs(place, lasting, moment)
    finally:
        Path(go).touch()
        place.clear()


def _while_submitting(place: Place, lasting: _Wronged) -> Sequence[Violation]:
    """Submit, then resume as often as it takes: each step runs once."""
    with lasting as env:
        submission = place.start("submit", str(place.folder), env=env)
        place.finish(submission)
    time.sleep(3)  # whatever is accepted late is in by now
    (place.folder / "go").touch()
    return _finished(place, Wanted(), "a wrong answer to the submission")


def _while_it_runs(place: Place, lasting: _Wronged, moment: str) -> Sequence[Violation]:
    assert place.submit().code == 0
    wait_until(lambda: len(_running(place)) == 3, 60, "the three long steps run")
    found: list[Violation] = []
    wanted = Wanted()
    if moment == "resubmit":
        assert place.verb("cancel").code == 0
        wanted.cancels.append((0, time.time()))
    with lasting as env:
        if moment == "resubmit":
            place.verb("resume", env=env)
            time.sleep(3)
        elif moment.startswith("cancel"):
            found += _cancel(place, moment.split()[1:], env, wanted)
        else:
            for verb in moment.split(", "):
                found += _look(place, verb, env)
    if moment.startswith("cancel"):
        again = _cancel(place, moment.split()[1:], {}, wanted, tries=3)
        found += [*again, *([] if moment != "cancel" else place.strays())]
    (place.folder / "go").touch()
    return [*found, *_finished(place, wanted, moment)]


def _running(place: Place) -> set[str]:
    return {line.name for line in place.lines if "train" in line.name}


def _look(place: Place, verb: str, env: Mapping[str, str]) -> Sequence[Violation]:
    """A verb while three steps run and one waits: none of them is LOST or FAILED, none starts."""
    before = place.queue()
    if verb == "status":
        shown = place.status(env)
        return _not_live(shown)
    done = place.verb(verb, env=env)
    more = sorted(place.queue().keys() - before.keys())
    words = done.out.strip()[-200:]
    return [
        Violation("double", f"{verb} submitted {job} beside the live ones: {words}") for job in more
    ]


def _not_live(shown: dict[str, Any]) -> Sequence[Violation]:
    states = {step["name"]: step["state"] for step in shown.get("steps", [])}
    good = {"DONE", "RUNNING", "PENDING", "HELD"}
    return [
        Violation("other", f"{name} is {state} while its job is live")
        for name, state in states.items()
        if state not in good
    ]


def _cancel(
    place: Place, names: Sequence[str], env: Mapping[str, str], wanted: Wanted, tries: int = 1
) -> Sequence[Violation]:
    """Cancel all, or one step; if it says that it did, it did."""
    for _ in range(tries):
        began = time.time()
        done = place.verb("cancel", *names, env=env)
        wanted.cancels.append((began, time.time()))
        if done.code == 0:
            break
        time.sleep(1)
    if done.code != 0:
        words = f"cancel fails for good: {done.out.strip()[-200:]}"
        return [Violation("other", words)] if tries > 1 else []
    if names:
        until = time.monotonic() + 8
        while (live := _live_of(place, names[0])) and time.monotonic() < until:
            time.sleep(0.5)
        return (
            [Violation("other", f"cancel says it cancelled, and {names[0]} runs")] if live else []
        )
    left = place.strays()
    said = done.out.strip()[-160:]
    return [Violation("other", f"cancel says {said!r} and {v.text}") for v in left[:1]]


def _live_of(place: Place, name: str) -> bool:
    from tests.faults.steps import birth

    lines = [line for line in place.lines if line.name == name and line.what == "begin"]
    return any(birth(line.pid) == line.born for line in lines)


def _finished(place: Place, wanted: Wanted, after: str) -> Sequence[Violation]:
    """With right answers again a resume or two finish the run, and nothing is left."""
    states: dict[str, str] = {}
    done = None
    for _ in range(4):
        done = place.verb("resume")
        states = place.run_to_end(30)
        if done.code == 0 and set(states.values()) == {"DONE"}:
            break
    found = list(plans.judge(place.lines, place.spec, wanted))
    if set(states.values()) != {"DONE"} and list(place.runs.glob("*/*/manifest.json")):
        words = f"not all DONE after {after}: {states}, {done.out.strip()[-200:] if done else ''}"
        found.append(Violation("other", words))
    place.verb("resume")
    return [*found, *place.strays()]
