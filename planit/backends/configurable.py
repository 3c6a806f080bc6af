"""The settings of backends: what ``backend.KEY`` can be."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from planit.errors import ConfigError, suggest


@dataclass
class Configurable:
    """A dataclass of which users can set the fields in SETTINGS, as ``backend.KEY``."""

    name: ClassVar[str]
    SETTINGS: ClassVar[tuple[str, ...]]

    def settings(self) -> dict[str, Any]:
        """What makes the same backend again."""
        return {key: getattr(self, key) for key in self.SETTINGS}

    def with_settings(self, changes: Mapping[str, Any]) -> Self:
        """The same backend with some settings changed. Raises ConfigError, naming the setting."""
        refuse_unknown_settings(self.name, changes, self.SETTINGS)
        return replace(self, **changes)  # type: ignore[type-var, unused-ignore]


def refuse_unknown_settings(name: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise ConfigError for a setting that a backend does not have."""
    for key in given:
        if key not in known:
            message = f"backend.{key} is not a setting of backend={name}"
            raise ConfigError(message, hint=suggest(str(key), known))
