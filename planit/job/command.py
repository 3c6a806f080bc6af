"""What a `Command` step runs inside its job."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from planit.job.ending import named_signal
from planit.job.frozen import frozen_command, with_own_path
from planit.job.hydra.hydra_config import completed
from planit.job.standing import parents_file

_TAIL_BYTES = 4096
_MAX_SHOWN = 200  # characters of a command or of a line


class CommandFailedError(Exception):
    """The command ended with an exit code other than 0; the step ends with the same.

    Args:
        exit_code: 128 + n if signal n ended it.
        how: what is shown of that.
        what: the last line that it wrote, or the command.
    """

    def __init__(self, exit_code: int, how: str, what: str) -> None:
        short = what if len(what) <= _MAX_SHOWN else f"{what[:_MAX_SHOWN]}…"
        super().__init__(f"{how}{short}")
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
        argv = [completed(word) for word in argv]
        cwd = None if self.cwd is None else completed(self.cwd)
        env = {name: completed(value) for name, value in self.env.items()}
        before = _log_size()
        try:
            with parents_file() as more:
                env = {**more, **env}
                code = subprocess.call(argv, cwd=cwd, env=with_own_path(os.environ, env))
        except OSError as error:
            code = 127 if isinstance(error, FileNotFoundError) else 126
            raise CommandFailedError(code, f"exit code {code}: ", str(error)) from error
        if code == 0:
            return
        how = f"exit code {code}" if code > 0 else f"ended by {named_signal(-code)}"
        line = _last_line(before)
        how, what = (f"{how} of: ", shown) if line is None else (f"{how}: ", line)
        raise CommandFailedError(code if code > 0 else 128 - code, how, what)


def _log_size() -> int | None:
    """How much is in the file that this process writes to; None if it is not a file."""
    try:
        info = os.fstat(1)
    except OSError:
        return None
    return info.st_size if stat.S_ISREG(info.st_mode) else None


def _last_line(start: int | None) -> str | None:
    """The last line that was written since then, if any."""
    size = _log_size()
    if start is None or size is None:
        return None
    try:
        with Path("/proc/self/fd/1").open("rb") as file:
            file.seek(max(start, size - _TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    return next((line.strip() for line in reversed(lines) if line.strip()), None)


def words_of(command: str | Sequence[str]) -> list[str]:
    """The words of a command; of a text for a shell as far as they can be told."""
    if not isinstance(command, str):
        return list(command)
    try:
        return shlex.split(command)
    except ValueError:  # a quote that is not closed, which may be a here document's
        return command.split()
