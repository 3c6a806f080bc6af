"""Hydra's callbacks: a private name, tried with Hydra 1.3.2, 1.3.8 and 1.4.0rc3."""

from __future__ import annotations

from typing import Any

from hydra._internal.callbacks import Callbacks
from omegaconf import DictConfig


def callbacks_of(config: DictConfig) -> Any:
    """The callbacks that ``hydra.callbacks`` describes, built."""
    return Callbacks(config)
