"""What ``sweep.share`` and ``sweep.join`` make of the branches of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from planit.app.config.plans import job_of
from planit.errors import ConfigError, PlanError, suggest
from planit.graph import Branch, merge
from planit.nodes import Node, Origin, Packed, Parallel

_SETTINGS: dict[str, Any] = {"share": True, "join": [], "max_concurrent": None, "packed": None}
_PACKED = ("slurm_args", "slurm", "jobs")


def sweep_settings(config: DictConfig) -> dict[str, Any]:
    """``sweep.share``, ``.join``, ``.max_concurrent`` and ``.packed`` of a configuration.

    Raises:
        ConfigError: a value is of the wrong kind, or there is another setting.
    """
    content: Any = config.get("sweep") or {}
    if isinstance(content, DictConfig):
        content = OmegaConf.to_container(content, resolve=True)
    if not isinstance(content, dict):
        raise ConfigError(f"sweep must be a mapping, not {content!r}", hint=suggest("", _SETTINGS))
    for key in content:
        if key not in _SETTINGS:
            raise ConfigError(f"sweep.{key} is unknown", hint=suggest(str(key), _SETTINGS))
    settings = {**_SETTINGS, **content}
    if isinstance(settings["join"], str):
        settings["join"] = [settings["join"]]
    if not isinstance(settings["share"], bool):
        raise ConfigError(f"sweep.share must be true or false, not {settings['share']!r}")
    join = settings["join"]
    if not isinstance(join, list) or not all(isinstance(name, str) for name in join):
        raise ConfigError(f"sweep.join must be a list of steps, not {settings['join']!r}")
    limit = settings["max_concurrent"]
    if limit is not None and (type(limit) is not int or limit < 1):
        raise ConfigError(
            f"sweep.max_concurrent must be a whole number of at least 1, not {limit!r}"
        )
    if settings["packed"] is not None:
        settings["packed"] = _packed(config, settings["packed"])
    return settings


def _packed(config: DictConfig, value: Any) -> Callable[[Parallel], Node]:
    """What packs the branches of a sweep, from the name of SLURM arguments or a mapping."""
    given: Any = {"slurm_args": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or given.get("slurm_args") is None:
        raise ConfigError(
            f"sweep.packed must name SLURM arguments, not {value!r}",
            hint="sweep.packed=cpu, or sweep.packed={slurm_args: cpu, jobs: 4}",
        )
    for key in given:
        if key not in _PACKED:
            hint = suggest(str(key), _PACKED)
            raise ConfigError(f"sweep.packed.{key} is unknown", hint=hint)
    changes = given.get("slurm") or {}
    preset, job = job_of(config, given["slurm_args"], changes, "sweep.packed")

    def packed(branches: Parallel) -> Node:
        node = Packed(branches, job, given.get("jobs", 1))
        node.origin = Origin(None, preset, changes)
        return node

    return packed


def merge_rows(rows: Sequence[Branch], settings: Mapping[str, Any]) -> Any:
    """One tree for all branches. Raises ConfigError."""
    try:
        return merge(
            rows,
            share=settings["share"],
            join=settings["join"],
            max_concurrent=settings["max_concurrent"],
            packed=settings["packed"] or (lambda branches: branches),
        )
    except PlanError as error:
        raise ConfigError(error.message, hint=error.hint) from error
