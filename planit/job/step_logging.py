"""What a step logs goes to its log with times, unless the step sets up logging of its own.

Python's logging shows no INFO and no times before somebody configures it. What planit sets up gives
way as soon as the step does so: by `logging.basicConfig`, `logging.config`, or a handler of its own
at the root logger.
"""

from __future__ import annotations

import logging
from typing import Any

FORMAT = "[%(asctime)s][%(name)s][%(levelname)s] - %(message)s"  # as Hydra's job logging has it


def log_with_times() -> None:
    """Show INFO and above on standard error, if nobody has set up the root logger."""
    root = logging.getLogger()
    if root.handlers or type(root) is not logging.RootLogger:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    _Preset(root, handler).install()


class _Preset:
    """Logging as planit has set it up, until the step sets up its own."""

    def __init__(self, root: logging.Logger, handler: logging.Handler) -> None:
        self._root = root
        self._handler = handler
        self.level = root.level
        self._basic_config = logging.basicConfig

    def install(self) -> None:
        self._root.addHandler(self._handler)
        if self._root.level == logging.WARNING:  # which is Python's default
            self._root.setLevel(logging.INFO)
        preset = self

        class UntilConfigured(logging.RootLogger):
            def setLevel(self, level: int | str) -> None:  # noqa: N802 (logging's name)
                super().setLevel(level)
                preset.level = self.level

            def addHandler(self, hdlr: logging.Handler) -> None:  # noqa: N802
                preset.withdraw()
                self.addHandler(hdlr)

        self._root.__class__ = UntilConfigured
        logging.basicConfig = self._basic_config_of_the_step

    def withdraw(self) -> None:
        """Leave logging as if planit had not been there."""
        logging.basicConfig = self._basic_config
        self._root.__class__ = logging.RootLogger
        self._root.removeHandler(self._handler)
        self._root.setLevel(self.level)

    def _basic_config_of_the_step(self, **settings: Any) -> None:
        self.withdraw()
        logging.basicConfig(**settings)
