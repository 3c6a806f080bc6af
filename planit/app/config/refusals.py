"""What Hydra, OmegaConf and YAML refuse, as planit's errors: one line, and the rest as a hint."""

from __future__ import annotations

import yaml
from hydra.errors import HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from planit.errors import ConfigError, suggest

OTHER_PROGRAM = (
    "choose one in its defaults list, or name planit's primary config planit.yaml"
    " if conf/config.yaml belongs to another program"
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
    hint = "; ".join(lines[1:]).replace(":; ", ": ")
    return ConfigError(lines[0], hint=hint or None)


def yaml_error(error: yaml.MarkedYAMLError) -> ConfigError:
    """A file that is not YAML, with its line."""
    mark = error.problem_mark or error.context_mark
    where = f"{mark.name}, line {mark.line + 1}: " if mark else ""
    problem = str(error.problem or error.context)
    in_flow = "',' or" in problem and "'{'" in problem  # ${...} there must be quoted
    hint = 'inside {...} and [...] write "${key}" in quotes' if in_flow else "fix the YAML"
    return ConfigError(where + problem, hint=hint)
