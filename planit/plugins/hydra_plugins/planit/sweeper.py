"""``hydra/sweeper=planit``: a whole sweep as one plan. planit's own app uses it by default."""

# No "from __future__ import annotations": Hydra executes plugins before it registers them in
# sys.modules, and dataclasses look text annotations up there.

from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper

from hydra_plugins.planit.handed_over import HandedOver


@dataclass
class PlanitSweeperConf:
    """What can be set below ``hydra.sweeper``.

    Attributes:
        params: overrides to sweep over, as in Hydra's basic sweeper.
    """

    _target_: str = "hydra_plugins.planit.sweeper.PlanitSweeper"
    params: dict[str, str] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="planit", node=PlanitSweeperConf, provider="planit"
)


class PlanitSweeper(HandedOver, Sweeper):
    """Composes every branch, fast, and hands all of them to planit's app at once."""

    def __init__(self, params: Any = None) -> None:
        self.params: dict[str, str] = dict(params or {})

    def sweep(self, arguments: list[str]) -> None:
        """Build one plan of all branches, and describe or submit it.

        Raises:
            HydraException: used in another app than planit's.
        """
        from planit.app.sweeps.branches import compose_branches

        if not hasattr(self.task_function, "sweep"):
            raise HydraException(
                "hydra/sweeper=planit works in planit's own app only; with another app use"
                " hydra/sweeper=basic"
            )
        assert self.hydra_context is not None
        assert self.config is not None
        loader = self.hydra_context.config_loader
        overrides = [f"{key}={value}" for key, value in self.params.items()] + arguments
        branches = compose_branches(loader, self.config, overrides)
        # Hydra composed self.config without the swept overrides.
        self.task_function.sweep(branches, self.config, overrides)
