"""``planit submit plan=...``: submit every step of a plan, or none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from planit.app.config.compose import run_app
from planit.app.plan_task import PlanTask
from planit.errors import ConfigError
from planit.submit.part_asked import PartAsked


def run(words: list[str]) -> int:
    """Submit the plan."""
    return act(words, "submit")


def act(words: list[str], verb: str | None) -> int:
    """Compose the configuration and do what `verb` (or the configuration's ``action``) says."""
    compose(words, lambda asked: PlanTask(verb, asked))
    return 0


def compose(words: list[str], task_of: Callable[[PartAsked], PlanTask]) -> None:
    """Compose the configuration, and run the task for the part of the plan that is asked for."""
    words, said = take_options(words)
    config_dir, config_name = take_place(said)
    words = ["backend.detach=true" if word == "--detach" else word for word in words]
    asked = PartAsked(said["--from"], said["--until"], said["--only"], _last(said["--after"]))
    run_app(task_of(asked), words, config_dir, config_name)


# What Hydra does not know, and what planit finds itself: Hydra searches --config-dir last,
# and a user's own folder has to come first.
_OPTIONS = {
    "--config-dir": "DIR",
    "--config-path": "DIR",
    "--config-name": "NAME",
    "--from": "STEP",
    "--until": "STEP",
    "--only": "STEP",
    "--after": "RUN",
}
_SHORT = {"-cd": "--config-dir", "-cp": "--config-path", "-cn": "--config-name"}


def take_options(words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The words for Hydra, and what planit's own options say. Raises ConfigError."""
    rest: list[str] = []
    said: dict[str, list[str]] = {flag: [] for flag in _OPTIONS}
    upcoming = iter(words)
    for word in upcoming:
        typed, equals, value = word.partition("=")
        flag = _SHORT.get(typed, typed)
        if flag not in _OPTIONS:
            rest.append(word)
            continue
        found = value if equals else next(upcoming, None)
        if not found:
            raise ConfigError(f"{typed} needs a value", hint=f"{typed} {_OPTIONS[flag]}")
        said[flag].append(found)
    return rest, said


def take_place(said: dict[str, list[str]]) -> tuple[str | None, str | None]:
    """The folder and the name of the primary config, as far as options say them, taken out.

    Raises:
        ConfigError: the folder would be looked for in another place than the user means.
    """
    config_path = _last(said.pop("--config-path"))
    if config_path is not None and not Path(config_path).is_absolute():
        raise ConfigError(
            f"--config-path {config_path}: Hydra would look for it beside the program's file",
            hint=f"--config-dir {config_path} is a folder in the working directory",
        )
    return _last(said.pop("--config-dir")) or config_path, _last(said.pop("--config-name"))


def _last(values: list[str]) -> str | None:
    return values[-1] if values else None
