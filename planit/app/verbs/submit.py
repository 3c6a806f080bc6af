"""``planit submit plan=...``: submit every step of a plan, or none."""

from __future__ import annotations

from planit.app.config.compose import run_app
from planit.app.plan_task import PlanTask
from planit.errors import ConfigError
from planit.submit.earlier import PartAsked


def run(words: list[str]) -> int:
    """Submit the plan."""
    return act(words, "submit")


def act(words: list[str], verb: str | None) -> int:
    """Compose the configuration and do what `verb` (or the configuration's ``action``) says."""
    words, said = take_options(words)
    words = ["backend.detach=true" if word == "--detach" else word for word in words]
    asked = PartAsked(said["--from"], said["--until"], said["--only"], _last(said["--after"]))
    run_app(PlanTask(verb, asked), words, _last(said["--config-dir"]))
    return 0


# What Hydra does not know, and --config-dir: Hydra puts that last in its search, and a user's own
# folder has to come first.
_OPTIONS = {
    "--config-dir": "DIR",
    "--from": "STEP",
    "--until": "STEP",
    "--only": "STEP",
    "--after": "RUN",
}


def take_options(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The words for Hydra, and what planit's own options say. Raises ConfigError."""
    rest: list[str] = []
    said: dict[str, list[str]] = {flag: [] for flag in _OPTIONS}
    upcoming = iter(words)
    for word in upcoming:
        flag, equals, value = word.partition("=")
        flag = "--config-dir" if flag == "-cd" else flag
        if flag not in _OPTIONS:
            rest.append(word)
            continue
        found = value if equals else next(upcoming, None)
        if not found:
            raise ConfigError(f"{flag} needs a value", hint=f"{flag} {_OPTIONS[flag]}")
        said[flag].append(found)
    return rest, said


def _last(values: list[str]) -> str | None:
    return values[-1] if values else None
