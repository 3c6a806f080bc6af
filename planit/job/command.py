"""What a `Command` step runs inside its job."""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from planit.errors import PlanitError
from planit.job.ending import named_signal
from planit.job.frozen import frozen_command, with_own_path
from planit.job.hydra.hydra_config import completed
from planit.job.standing import current, files_for_command
from planit.record import fields
from planit.record.files import write_json
from planit.record.plain_data import MAX_BYTES
from planit.record.run_dir import RESULT

IN_CONTAINER = "PLANIT_CONTAINER"
"""The variable with the words that start a command in the step's container, for a shell."""

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
    """Runs a command with its output going to the step's log.

    Its result is the JSON that it writes to the file ``$PLANIT_RESULT``.
    """

    command: str | tuple[str, ...]
    cwd: str | None = None
    env: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> Any:
        """Run it to its end; its result, or None.

        Raises:
            CommandFailedError: with its exit code (128 + n if signal n ended it).
        """
        shown = self.command if isinstance(self.command, str) else " ".join(self.command)
        command = frozen_command(self.command, self.cwd)
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        argv = [*shlex.split(os.environ.get(IN_CONTAINER, "")), *(completed(w) for w in argv)]
        cwd = None if self.cwd is None else completed(self.cwd)
        env = {name: completed(value) for name, value in self.env.items()}
        before = _log_size()
        with _ResultFile() as result, _parents_file() as parents:
            try:
                own = with_own_path(os.environ, env | result.variables | parents)
                code = subprocess.call(argv, cwd=cwd, env=own)
            except OSError as error:
                code = 127 if isinstance(error, FileNotFoundError) else 126
                raise CommandFailedError(code, f"exit code {code}: ", str(error)) from error
            if code == 0:
                return result.read()
        how = f"exit code {code}" if code > 0 else f"ended by {named_signal(-code)}"
        line = _last_line(before)
        how, what = (f"{how} of: ", shown) if line is None else (f"{how}: ", line)
        raise CommandFailedError(code if code > 0 else 128 - code, how, what)


class _ResultFile:
    """The file for a command's result, which is in the step's folder only while it runs."""

    def __init__(self) -> None:
        folder = os.environ.get("PLANIT_STEP_DIR")
        self.path = None if folder is None else Path(folder, RESULT)
        self.variables = {} if self.path is None else {"PLANIT_RESULT": str(self.path)}

    def __enter__(self) -> Self:
        self._remove()  # that of an attempt that was killed
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            if self.path is not None:
                self.path.unlink()

    def read(self) -> Any:
        """The result; None if there is none. What is not a result is told in the log."""
        if self.path is None:
            return None
        try:
            with suppress(OSError):  # opening a folder refreshes it on a network file system
                os.close(os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY))
            with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                content = file.read(MAX_BYTES + 1) or b""
            if not content.strip():
                raise ValueError("is empty")
            if len(content) > MAX_BYTES:
                raise ValueError(f"has more than {MAX_BYTES:,} bytes")
            return _parsed(content)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else error
            print(f"planit: $PLANIT_RESULT {why}; the step has no result", flush=True)
            return None


@contextmanager
def _parents_file() -> Iterator[dict[str, str]]:
    """PLANIT_PARENTS, which names a file that is in the step's folder only inside this.

    A command that needs no such file runs as well where it cannot be written.
    """
    written: list[Path] = []
    variables = {}
    if "PLANIT_STEP" in os.environ:
        try:
            for path, content in files_for_command(current()).items():
                written.append(path)
                write_json(path, content)
            variables["PLANIT_PARENTS"] = str(written[0])
        except (PlanitError, OSError) as problem:
            print(f"planit: PLANIT_PARENTS is not set: {problem}", flush=True)
    try:
        yield variables
    finally:
        for path in written:
            with suppress(OSError):
                path.unlink()


def _parsed(content: bytes) -> Any:
    try:
        return fields.parse(content)
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None


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
