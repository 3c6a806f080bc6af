"""``runs_dir`` of a configuration, where only Hydra can tell what that is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from planit.app.config.compose import run_app
from planit.errors import ConfigError


class _Read:
    """Keeps the key of the configuration that is composed."""

    value: str | None = None

    def __call__(self, config: DictConfig) -> None:
        value = config.get("runs_dir")
        self.value = None if value is None else str(value)

    def sweep(self, branches: Iterable[Any], config: DictConfig, overrides: Sequence[str]) -> None:
        self(config)

    def batch(self, configs: Sequence[DictConfig], *_rest: Any) -> list[Any]:
        self(configs[0])
        return []


def composed_runs_dir(folder: Path) -> str | None:
    """``runs_dir`` of the project in a folder, composed without a plan if need be.

    Raises:
        ConfigError: it cannot be composed or resolved.
    """
    read = _Read()
    with contextlib.chdir(folder):
        try:
            run_app(read, [], None)
        except ConfigError as error:
            with contextlib.suppress(ConfigError):
                run_app(read, ["~plan"], None)
            if read.value is None:
                hint = "say where the runs are: --runs-dir DIR"
                raise ConfigError(f"runs_dir: {error.message}", hint=hint) from error
    return read.value
