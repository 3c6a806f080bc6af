"""What a `Command` step runs inside its job."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field


class CommandFailedError(Exception):
    """The command ended with an exit code other than 0; the step ends with the same."""

    def __init__(self, exit_code: int, command: str) -> None:
        super().__init__(f"exit code {exit_code} of: {command}")
        self.exit_code = exit_code


@dataclass(frozen=True)
class CommandCall:
    """Runs a command with its output going to the step's log."""

    command: str | tuple[str, ...]
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> None:
        """Run it to its end.

        Raises:
            CommandFailedError: with its exit code (128 + n if signal n ended it).
        """
        if isinstance(self.command, str):
            argv, shown = ["/bin/bash", "-c", self.command], self.command
        else:
            argv, shown = list(self.command), " ".join(self.command)
        try:
            code = subprocess.call(argv, cwd=self.cwd, env={**os.environ, **self.env})
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise CommandFailedError(127 if missing else 126, f"{shown} ({error})") from error
        if code != 0:
            raise CommandFailedError(code if code > 0 else 128 - code, shown)
