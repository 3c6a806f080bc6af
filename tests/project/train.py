"""The program: ``python train.py model=cnn optimizer.lr=0.1``."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from vision.conf import Optimizer, Schedule, register

log = logging.getLogger(__name__)
register()


def loss(width: int, optimizer: Optimizer | DictConfig, steps: int) -> float:
    """The best learning rate is 0.1, and a schedule helps a little."""
    bonus = 0.5 if optimizer.schedule is Schedule.COSINE else 1.0
    return bonus * abs(optimizer.lr - 0.1) + 1 / (width * steps)


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> float:
    model: Any = hydra.utils.instantiate(config.model)
    log.info("training %s for %d steps", model.name, config.steps)
    score = loss(model.width, config.optimizer, config.steps)
    output = Path(HydraConfig.get().runtime.output_dir)
    output.joinpath("score.json").write_text(json.dumps({"loss": score, "model": model.name}))
    log.info("loss %.4f", score)
    return score


if __name__ == "__main__":
    main()
