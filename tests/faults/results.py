"""Cases of faults, run several at once, and what is counted of them."""

from __future__ import annotations

import os
import random
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field

KINDS = {
    "early": "early starts",
    "double": "double runs",
    "stray": "strays",
    "foreign": "foreign lines",
    "other": "other",
}


@dataclass(frozen=True)
class Violation:
    """Something that must not happen: its kind, and one line about it."""

    kind: str
    text: str


@dataclass(frozen=True)
class Case:
    """One case: what it tries, in a few words, and the function that does it."""

    name: str
    check: Callable[[], Sequence[Violation]]


@dataclass
class Result:
    """What a category found.

    Attributes:
        bad: the cases in which something went wrong.
        kinds: in how many cases each kind of violation was seen.
        problems: a line for each, with what repeats it.
    """

    category: str
    seed: int
    cases: int = 0
    bad: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)

    def count(self, number: int, case: Case, found: Sequence[Violation]) -> None:
        self.cases += 1
        self.bad += bool(found)
        self.kinds.update({violation.kind for violation in found})
        again = f"--category {self.category} --seed {self.seed} --only {number}"
        self.problems += [f"{v.kind}: {case.name}: {v.text} [{again}]" for v in found]

    @property
    def row(self) -> list[str]:
        numbers = [str(self.kinds[kind]) for kind in KINDS]
        return [self.category, str(self.cases), str(self.bad), *numbers, f"{self.seconds:.0f} s"]


def rng_of(category: str, seed: int, number: int) -> random.Random:
    """The choices of one case, the same whatever ran before it."""
    return random.Random(f"{category} {seed} {number}")


def run_cases(
    category: str,
    seed: int,
    cases: Sequence[Case],
    *,
    at_once: int = 1,
    only: Collection[int] = (),
    say: Callable[[str], None] = lambda line: None,
) -> Result:
    """Run cases in threads, each of which must keep to its own folder and processes.

    Args:
        only: the numbers of the cases to run; by default all.
        say: told a line for each case that has ended.
    """
    result = Result(category, seed)
    began = time.monotonic()
    wanted = {number: case for number, case in enumerate(cases) if not only or number in only}
    with ThreadPoolExecutor(at_once) as pool:
        running = {pool.submit(_checked, case): number for number, case in wanted.items()}
        for future in as_completed(running):
            number = running[future]
            took, found = future.result()
            result.count(number, wanted[number], found)
            words = "; ".join(f"{v.kind}: {v.text}" for v in found) or "well"
            name = wanted[number].name
            say(
                f"{category} {result.cases}/{len(wanted)}  #{number} {name} ({took:.0f} s): {words}"
            )
    result.seconds = time.monotonic() - began
    return result


def _checked(case: Case) -> tuple[float, Sequence[Violation]]:
    began = time.monotonic()
    try:
        found = case.check()
    except Exception as error:
        lines = [line.strip() for line in traceback.format_exc().splitlines()]
        where = next((line for line in reversed(lines) if "tests/faults" in line), "")
        found = [Violation("other", f"{type(error).__name__}: {error} ({where})"[:600])]
    return time.monotonic() - began, found


def table(results: Sequence[Result]) -> str:
    """One row for each category."""
    head = ["category", "cases", "wrong", *KINDS.values(), "took"]
    rows = [head, *(result.row for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = ["  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
             for row in rows]  # fmt: skip
    return "\n".join(lines)


def at_once_here(most: int) -> int:
    """How many cases to run at once: most of a case is waiting for Slurm's clock."""
    return min(most, 3 * (os.cpu_count() or 1))
