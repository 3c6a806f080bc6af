"""The configurations of a sweep as a run keeps them.

There is one per combination of groups, and what each branch sets on top. From that a resume builds
the same plan again, with other resources.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from planit.app.sweeps.branches import Composed


class FrozenSweep:
    """Collects what a run has to keep of a sweep's branches."""

    def __init__(self) -> None:
        self._bases: dict[tuple[str, ...], int] = {}
        self._sources: list[Any] = []
        self._branches: list[dict[str, Any]] = []

    def add(self, branch: Composed) -> None:
        """Keep a branch; its configuration is read now."""
        if branch.fixed not in self._bases:
            self._bases[branch.fixed] = len(self._sources)
            self._sources.append(OmegaConf.to_container(branch.config, resolve=False))
        self._branches.append(
            {
                "base": self._bases[branch.fixed],
                "values": dict(branch.values),
                "set": list(branch.settings),
            }
        )

    def content(self) -> dict[str, Any]:
        """As plain data for the manifest."""
        return {"bases": self._sources, "branches": self._branches}


def thaw(content: Mapping[str, Any]) -> Iterator[tuple[dict[str, str], DictConfig]]:
    """Each branch's swept values and configuration, which the next branch may change."""
    bases = [OmegaConf.create(source) for source in content["bases"]]
    parser = OverridesParser.create()
    for branch in content["branches"]:
        config = bases[branch["base"]]
        for override in parser.parse_overrides(branch["set"]):
            if not override.is_delete():
                OmegaConf.update(config, override.key_or_group, override.value(), force_add=True)
        yield branch["values"], config
