"""What Hydra hands over to a sweeper or a launcher, which is kept until it is used."""

from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class HandedOver:
    """The `setup` of planit's sweepers and of its launcher."""

    hydra_context: HydraContext | None = None
    task_function: Any = None
    config: DictConfig | None = None

    def setup(
        self,
        *,
        hydra_context: HydraContext,
        task_function: TaskFunction,
        config: DictConfig,
    ) -> None:
        """Keep what Hydra hands over."""
        self.hydra_context = hydra_context
        self.task_function = task_function
        self.config = config
