"""The configuration of a Hydra program as text, from the call of its step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from planit.job.hydra.app_run import AppRun


def composed_text(function: Callable[..., Any], args: Sequence[Any]) -> str | None:
    """The composed configuration that a step's call has, as YAML; None if it has none.

    Args:
        function: what the step calls.
        args: with these arguments.
    """
    if isinstance(function, AppRun):
        from planit.job.hydra.rows import configuration_text

        return configuration_text(*args)
    if not args or type(args[0]).__name__ != "JobConfig":  # its module imports Hydra
        return None
    from planit.job.hydra.launched import JobConfig
    from planit.job.hydra.rows import text_of_config

    return text_of_config(args[0].config) if isinstance(args[0], JobConfig) else None
