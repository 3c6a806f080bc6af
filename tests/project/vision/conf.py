"""The structured configs and the resolvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf


class Schedule(Enum):
    CONSTANT = "constant"
    COSINE = "cosine"


@dataclass
class Optimizer:
    lr: float = 0.01
    schedule: Schedule = Schedule.CONSTANT


@dataclass
class Data:
    root: Path = Path("data")
    sizes: list[int] = field(default_factory=lambda: [8, 16])


@dataclass
class Config:
    model: Any = MISSING
    optimizer: Optimizer = field(default_factory=Optimizer)
    data: Data = field(default_factory=Data)
    epochs: int = 2
    steps: int = 0
    seed: int = 0


def register() -> None:
    store = ConfigStore.instance()
    store.store(name="config_schema", node=Config)
    OmegaConf.register_new_resolver("times", lambda one, other: one * other, replace=True)
