"""What Hydra, OmegaConf and YAML refuse, as planit's errors: one line, and the rest as a hint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException
from yaml.reader import ReaderError

from planit.errors import ConfigError, suggest

OTHER_PROGRAM = (
    "planit in its defaults list makes it planit's, and beside a conf/planit.yaml (which may be"
    " empty) it is not looked at"
)


def unknown_config(error: MissingConfigException) -> ConfigError:
    """A config that was not found, with what there is."""
    missing = str(error.missing_cfg_file or "").removesuffix(".yaml")
    group, _, name = missing.rpartition("/")
    if not group:
        return as_config_error(error)
    noun = {"slurm": "SLURM preset", "plan": "plan"}.get(group, f"{group} config")
    hint = suggest(name, error.options or [])
    return ConfigError(f"unknown {noun} {name!r}", hint=hint)


def as_config_error(error: BaseException) -> ConfigError:
    """A refusal of Hydra or OmegaConf as one line, with the rest of its text as the hint."""
    text = str(error)
    if isinstance(error.__cause__, OmegaConfBaseException):
        text += "\n" + str(error.__cause__)
    key = getattr(error, "full_key", None)
    if key and not isinstance(error, HydraException):
        text = f"{key}: {text}"
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(("full_key:", "object_type="))]
    if not lines:
        return ConfigError(type(error).__name__)
    hint = "; ".join(line for line in lines[1:] if line not in lines[0]).replace(":; ", ": ")
    return ConfigError(lines[0], hint=hint or None)


def yaml_error(error: yaml.YAMLError, path: Path | None = None) -> ConfigError:
    """A file that is not YAML, with its line."""
    if isinstance(error, ReaderError):
        problem = f"the character {chr(error.character)!r} is not allowed in YAML"
        return ConfigError(f"{path or error.name}: {problem}", hint="remove it")
    if not isinstance(error, yaml.MarkedYAMLError):
        return ConfigError(f"{path}: {error}")
    mark = error.problem_mark or error.context_mark
    where = f"{path or mark.name}, line {mark.line + 1}: " if mark else ""
    problem = str(error.problem or error.context)
    in_flow = "',' or" in problem and "'{'" in problem  # ${...} there must be quoted
    hint = 'inside {...} and [...] write "${key}" in quotes' if in_flow else "fix the YAML"
    return ConfigError(where + problem, hint=hint)


def of_reading(error: Exception) -> ConfigError | None:
    """What a configuration failed with that has no file that cannot be read."""
    if isinstance(error, RecursionError):
        return ConfigError("the configuration is nested too deep, or refers to itself")
    return yaml_error(error) if isinstance(error, yaml.YAMLError) else None


def is_hydras(error: Exception) -> bool:
    """Whether a line of Hydra's or OmegaConf's raised an error, rather than planit or a plugin."""
    return _raised_in(error.__traceback__).startswith(("hydra.", "omegaconf."))


def of_hydras_own(error: Exception, words: Sequence[str]) -> ConfigError:
    """An error of another kind, which Hydra and OmegaConf raise for some words."""
    if str(error).startswith("Config group override must be a string"):
        is_null = (word for word in words if "null" in word.partition("=")[2].split(","))
        where = next(is_null, "a config group")
        group = where.partition("=")[0].lstrip("+") if "=" in where else "GROUP"
        return ConfigError(f"{where}: a config group takes a name", hint=f"~{group} leaves it out")
    return as_config_error(error)


def _raised_in(trace: TracebackType | None) -> str:
    """The module whose line raised an error."""
    name = ""
    while trace is not None:
        name = str(trace.tb_frame.f_globals.get("__name__"))
        trace = trace.tb_next
    return name
