"""``planit submit plan=...``: submit every step of a plan, or none."""

from __future__ import annotations

from pathlib import Path

from planit.app.config.compose import run_app
from planit.app.plan_task import PlanTask
from planit.errors import ConfigError


def run(words: list[str]) -> int:
    """Submit the plan."""
    return act(words, "submit")


def act(words: list[str], verb: str | None) -> int:
    """Compose the configuration and do what `verb` (or the configuration's ``action``) says."""
    words, config_dir = _taken(words, "--config-dir", "-cd")
    words, config_path = _taken(words, "--config-path", "-cp")
    words, config_name = _taken(words, "--config-name", "-cn")
    if config_path is not None and not Path(config_path).is_absolute():
        raise ConfigError(
            f"--config-path {config_path}: Hydra would look for it beside the program's file",
            hint=f"--config-dir {config_path} is a folder in the working directory",
        )
    words = ["backend.detach=true" if word == "--detach" else word for word in words]
    run_app(PlanTask(verb), words, config_dir or config_path, config_name)
    return 0


def _taken(words: list[str], *names: str) -> tuple[list[str], str | None]:
    """Take a flag and its value out of the words: what it names, planit finds itself.

    Hydra puts ``--config-dir`` last in its search; a user's own folder has to come first.
    """
    rest: list[str] = []
    found: str | None = None
    upcoming = iter(words)
    for word in upcoming:
        flag, equals, value = word.partition("=")
        if flag not in names:
            rest.append(word)
            continue
        found = value if equals else next(upcoming, None)
        if not found:
            what = "NAME" if "--config-name" in names else "DIR"
            raise ConfigError(f"{flag} needs a value", hint=f"{flag} {what}")
    return rest, found
