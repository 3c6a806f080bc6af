"""``planit submit plan=...``: submit every step of a plan, or none."""

from __future__ import annotations

from planit.app.config.compose import run_app
from planit.app.plan_task import PlanTask
from planit.errors import ConfigError


def run(words: list[str]) -> int:
    """Submit the plan."""
    return act(words, "submit")


def act(words: list[str], verb: str | None) -> int:
    """Compose the configuration and do what `verb` (or the configuration's ``action``) says."""
    words, config_dir = _take_config_dir(words)
    words = ["backend.detach=true" if word == "--detach" else word for word in words]
    run_app(PlanTask(verb), words, config_dir)
    return 0


def _take_config_dir(words: list[str]) -> tuple[list[str], str | None]:
    """Hydra puts ``--config-dir`` last in its search; a user's own folder has to come first."""
    rest: list[str] = []
    found: str | None = None
    upcoming = iter(words)
    for word in upcoming:
        flag, equals, value = word.partition("=")
        if flag not in ("--config-dir", "-cd"):
            rest.append(word)
            continue
        found = value if equals else next(upcoming, None)
        if not found:
            raise ConfigError(f"{flag} needs a folder", hint=f"{flag} DIR")
    return rest, found
