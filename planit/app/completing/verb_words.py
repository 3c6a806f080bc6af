"""What each verb takes, as a shell has to know it before anything of the verb is imported.

The verbs' own parsers decide; tests/app/test_completion.py compares what they print for ``--help``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

RUN, STEP, RUN_OR_STEP, PLAN_STEP = "RUN", "STEP", "RUN or STEP", "STEP of the plan"
OVERRIDE, CHANGE, DIR, OTHER = "OVERRIDE", "RUN or CHANGE", "DIR", "OTHER"
"""Kinds of words. Nothing can be offered for `OTHER`, such as a number."""

_KINDS = {"STEP": STEP, "RUN": RUN, "DIR": DIR, "PLAN_STEP": PLAN_STEP}


class VerbWords:
    """What a verb takes.

    Attributes:
        first, rest: the kinds of its first word and of all others.
        options: the kind of each option's value; None if it takes none.
        values: of an option, or (of "") of the first word, where there are only a few.
    """

    def __init__(
        self,
        first: str,
        rest: str,
        options: Mapping[str, str | None],
        values: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.first, self.rest = first, rest
        self.options, self.values = options, values


def _made(
    first: str, rest: str, options: str, values: Mapping[str, str] | None = None
) -> VerbWords:
    """Options are written ``--option`` or ``--option=KIND``."""
    taken: dict[str, str | None] = {}
    for text in f"{options} --help -h".split():
        name, equals, kind = text.partition("=")
        taken[name] = _KINDS.get(kind, OTHER) if equals else None
    few = {option: tuple(text.split()) for option, text in (values or {}).items()}
    return VerbWords(first, rest, taken, few)


_OF_PLAN = _made(
    OVERRIDE,
    OVERRIDE,
    "--multirun -m --detach --config-dir=DIR -cd=DIR --config-path=DIR -cp=DIR"
    " --config-name=NAME -cn=NAME --cfg=WHAT -c=WHAT"
    " --from=PLAN_STEP --until=PLAN_STEP --only=PLAN_STEP --after=RUN --resolve --package=KEY"
    " --info=WHAT --hydra-help",
    {
        "--cfg": "job hydra all",
        "--info": "all config defaults defaults-tree plugins searchpath",
    },
)
_VERBS = {
    "init": _made(OTHER, OTHER, "--dir=DIR --cluster=CLUSTER --no-slurm"),
    "describe": _OF_PLAN,
    "check": _OF_PLAN,
    "submit": _OF_PLAN,
    "schema": _made(OVERRIDE, OVERRIDE, "--multirun -m --config-dir=DIR -cd=DIR"),
    "runs": _made(OTHER, OTHER, "--runs-dir=DIR --all -n=N"),
    "status": _made(RUN, OTHER, "--runs-dir=DIR --json --watch --all"),
    "results": _made(RUN_OR_STEP, STEP, "--runs-dir=DIR --sort=COLUMN --where=COLUMN --csv --json"),
    "show": _made(RUN_OR_STEP, STEP, "--runs-dir=DIR --config"),
    "logs": _made(RUN_OR_STEP, STEP, "--runs-dir=DIR --follow -f --tail=N -n=N --path --older"),
    "current": _made(OTHER, OTHER, "--json"),
    "wait": _made(RUN, OTHER, "--runs-dir=DIR"),
    "cancel": _made(RUN_OR_STEP, STEP, "--runs-dir=DIR"),
    "resume": _made(
        CHANGE,
        CHANGE,
        "--runs-dir=DIR --from=STEP --only=STEP --frozen-code --raise --dry-run --detach",
    ),
    "clean": _made(RUN, RUN, "--runs-dir=DIR --older-than=AGE --keep-last=N --failed --yes -y"),
    "completion": _made(OTHER, OTHER, "", {"": "bash zsh fish"}),
}


def taken_by(verb: str) -> VerbWords:
    """What a verb takes; of one that is not listed, nothing is known but its help."""
    return _VERBS.get(verb) or _made(OTHER, OTHER, "")


def split(verb: VerbWords, words: Sequence[str]) -> tuple[list[str], dict[str, list[str]], str]:
    """The words behind a verb as its parser reads them.

    Returns:
        Those that are not of options, the values of options, and the option whose value is next, or
        an empty text.
    """
    rest: list[str] = []
    said: dict[str, list[str]] = {}
    upcoming: Iterator[str] = iter(words)
    for word in upcoming:
        name, equals, value = word.partition("=")
        if not name.startswith("-") or name == "-":
            rest.append(word)
        elif equals:
            said.setdefault(name, []).append(value)
        elif verb.options.get(name) is not None:
            value = next(upcoming, "")
            if not value:
                return rest, said, name
            said.setdefault(name, []).append(value)
    return rest, said, ""
