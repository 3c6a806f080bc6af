"""What is wrong with a plan, as text: a line for each problem, then the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from planit.status.states import printable
from planit.submit.problems import Problem, Problems

_MAX_ALIKE = 5


def problem_text(problems: Problems, steps: int) -> str:
    """The text.

    Args:
        problems: what was found.
        steps: how many steps the plan has.
    """
    return "\n".join(map(printable, _lines(problems, steps)))


def _lines(problems: Problems, steps: int) -> Iterator[str]:
    of_place: Counter[tuple[str | None, str | None]] = Counter()
    for problem, names in problems.found.items():
        place = (problem.step, problem.key)
        of_place[place] += 1
        if problem.step is None or of_place[place] <= _MAX_ALIKE:
            yield _line(problem, names)
    yield from _left_out(of_place)
    yield from problems.notes
    found = f"{len(problems.found)} problem(s)" if problems.found else "No problems found"
    yield f"{found}; {steps} step(s) checked"
    yield from (f"Not checked: {what}" for what in problems.not_checked)


def _line(problem: Problem, names: Sequence[str]) -> str:
    """``train (12 branches): plan.steps.train.lr: what is wrong (what would be right)``."""
    where = ""
    if problem.step is not None:
        several = len(names) > 1
        where = f"{problem.step} ({len(names)} branches): " if several else f"{names[0]}: "
    key = f"{problem.key}: " if problem.key is not None else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return " ".join(f"{where}{key}{problem.message}{hint}".splitlines())


def _left_out(of_place: Mapping[tuple[str | None, str | None], int]) -> Iterator[str]:
    for (step, key), count in of_place.items():
        if step is not None and count > _MAX_ALIKE:
            where = step if key is None else f"{step}: {key}"
            yield f"{where}: and {count - _MAX_ALIKE} more like these"
