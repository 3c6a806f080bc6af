"""``planit check plan=...``: everything that is wrong with a plan, before it is submitted."""

from __future__ import annotations

from planit.app.plan_check import PlanCheck
from planit.app.verbs.submit import compose
from planit.errors import ConfigError, PlanError
from planit.submit.part_asked import PartAsked
from planit.views.problem_lines import problem_text

_EXIT_PROBLEMS = 2


def run(words: list[str]) -> int:
    """Check the plan; nothing is written and nothing of it is run."""
    made: list[PlanCheck] = []

    def task_of(asked: PartAsked) -> PlanCheck:
        made.append(PlanCheck(asked))
        return made[0]

    try:
        compose(words, task_of)
    except (ConfigError, PlanError) as error:
        if not made or not made[0].problems.found:
            raise
        made[0].problems.of_plan(error)
        made[0].problems.not_checked.append("the rest, until that is right")
    problems = made[0].problems
    print(problem_text(problems, made[0].steps))
    return _EXIT_PROBLEMS if problems.found else 0
