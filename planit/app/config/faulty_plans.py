"""Builds plans of which parts are wrong: each part that is refused is told, and replaced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from planit.app.config.build import Builder
from planit.app.config.plans import Plans, resolved
from planit.errors import ConfigError
from planit.nodes import Chain, Command, Node
from planit.nodes.arguments import IN_JOB

UNSET = f"{IN_JOB}planit.not_set}}"
"""Stands for a value that is missing or cannot be resolved; as an argument it is not looked at."""

_ANY = {"slurm_time": "1"}
Refused = Callable[[ConfigError], None]


class FaultyPlans(Plans):
    """As `Plans`, but goes on behind what is refused.

    Args:
        refused: takes the errors.
        replaced: gets the names of the steps that something else stands for.
    """

    def __init__(self, refused: Refused, replaced: set[str]) -> None:
        def tell(error: ConfigError) -> None:
            if UNSET not in error.message:  # which was told
                refused(error)

        super().__init__(lambda presets, swept: _FaultyBuilder(presets, swept, tell, replaced))
        self._refused = refused

    def content_of(self, config: DictConfig) -> dict[str, Any]:
        """The resolved content of the key ``plan``; values that cannot be resolved are told.

        Raises:
            ConfigError: there is no plan.
        """
        told: set[str] = set()
        while True:
            try:
                return resolved(config)
            except ConfigError as error:
                key = str(getattr(error.__cause__, "full_key", None) or "")
                if not key.startswith("plan.") or key in told:
                    raise
                try:
                    OmegaConf.update(config, key, f"\\{UNSET}")  # as text
                except OmegaConfBaseException:  # it has a type that takes no text
                    raise error from None
                told.add(key)
                self._refused(error)


class _FaultyBuilder(Builder):
    """Puts a step that does nothing in the place of one that is refused; else an empty Chain."""

    def __init__(self, presets: Any, swept: Any, refused: Refused, replaced: set[str]) -> None:
        super().__init__(presets, swept)
        self._refused = refused
        self._replaced = replaced

    def node(self, value: Any, where: str) -> Node:
        try:
            return super().node(value, where)
        except ConfigError as error:
            self._refused(error)
        if not isinstance(value, str) or value not in self.steps:
            return Chain()
        content = self.steps[value]
        if id(content) not in self.made:
            self.made[id(content)] = (content, Command(value, "true", _ANY))
            self._replaced.add(value)
        return self.made[id(content)][1]
