"""What ``sweep.share`` and ``sweep.join`` make of the branches of a sweep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from planit.errors import ConfigError, PlanError
from planit.graph import Branch, merge


def sweep_settings(config: DictConfig) -> dict[str, Any]:
    """``sweep.share`` and ``sweep.join`` of a configuration.

    Raises:
        ConfigError: they are not a switch and a list of names.
    """
    node = config.get("sweep") or {}
    content = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    settings = {"share": True, "join": [], **(content if isinstance(content, dict) else {})}
    if isinstance(settings["join"], str):
        settings["join"] = [settings["join"]]
    if not isinstance(settings["share"], bool):
        raise ConfigError(f"sweep.share must be true or false, not {settings['share']!r}")
    if not isinstance(settings["join"], list):
        raise ConfigError(f"sweep.join must be a list of steps, not {settings['join']!r}")
    return settings


def merge_rows(rows: Sequence[Branch], settings: Mapping[str, Any]) -> Any:
    """One tree for all branches. Raises ConfigError."""
    try:
        return merge(rows, share=settings["share"], join=settings["join"])
    except PlanError as error:
        raise ConfigError(error.message, hint=error.hint) from error
