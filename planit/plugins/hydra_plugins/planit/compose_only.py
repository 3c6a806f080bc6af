"""How planit gets the configurations of a program from Hydra: as the sweeper of the program.

It is not in Hydra's ConfigStore, as nobody chooses it: planit.job.hydra.composer names it.
"""

from typing import Any

from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper

from hydra_plugins.planit.handed_over import HandedOver


class ComposeOnly(HandedOver, Sweeper):
    """Composes what planit asks for, and ends the process: the program itself never runs."""

    def __init__(self, **_: Any) -> None:
        """Take whatever the program sets for its own sweeper."""

    def sweep(self, arguments: list[str]) -> None:
        """Compose, and end the process.

        Raises:
            HydraException: used by somebody else than planit.
        """
        from planit.job.hydra import composer

        if not composer.is_asked():
            raise HydraException("this sweeper is planit's own")
        assert self.hydra_context is not None
        assert self.config is not None
        composer.answer(self.hydra_context.config_loader, self.config.hydra.job.config_name)
