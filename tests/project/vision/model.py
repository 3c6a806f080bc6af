"""What is trained."""

from __future__ import annotations


class Model:
    """A model; ``hydra.utils.instantiate(config.model)`` makes one."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self.width = width
