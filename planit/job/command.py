"""What a `Command` step runs inside its job."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field

from planit.job.frozen import frozen_command


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
        shown = self.command if isinstance(self.command, str) else " ".join(self.command)
        command = frozen_command(self.command, self.cwd)
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        try:
            code = subprocess.call(argv, cwd=self.cwd, env={**os.environ, **self.env})
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            raise CommandFailedError(127 if missing else 126, f"{shown} ({error})") from error
        if code != 0:
            raise CommandFailedError(code if code > 0 else 128 - code, shown)


def words_of(command: str | Sequence[str]) -> list[str]:
    """The words of a command; of a text for a shell as far as they can be told."""
    if not isinstance(command, str):
        return list(command)
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed, which may be a here document's
        return command.split()
