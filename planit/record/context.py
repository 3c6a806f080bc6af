"""``submissions/<n>.context.json``: what a submission's workers need before they load a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from planit.record import fields
from planit.record.files import read_json, write_json
from planit.record.frozen_code import CodeUsed
from planit.record.submissions import FOLDER
from planit.record.trust import TrustedDir


@dataclass(frozen=True)
class Context:
    """Where a submission was made.

    Attributes:
        sys_path: where modules were imported from.
        code: the frozen code.
        umask: the user's, for what the steps make.
        backend: name and settings of who took it.
    """

    sys_path: Sequence[str] = ()
    code: CodeUsed = field(default_factory=CodeUsed)
    umask: int | None = None
    backend: Mapping[str, Any] = field(default_factory=dict)


def path_of(run_path: Path, submission: int) -> Path:
    """The file of a submission's context."""
    return run_path / _name(submission)


def write(run_path: Path, submission: int, context: Context) -> None:
    """Write the context of a submission."""
    content = {**vars(context), "code": context.code.to_json()}
    write_json(path_of(run_path, submission), content)


def read(run_path: Path, submission: int) -> Context:
    """The context of a submission; an empty one if it cannot be read."""
    return _parse(read_json(path_of(run_path, submission)))


def read_trusted(run: TrustedDir, submission: int) -> Context:
    """The same in a job.

    Raises:
        RunError: there is none, or another user could have written it.
    """
    content = run.read_bytes(_name(submission))
    with suppress(ValueError):
        return _parse(fields.parse(content))
    return Context()


def _parse(content: Any) -> Context:
    if not isinstance(content, dict):
        return Context()
    return Context(
        sys_path=fields.texts(content, "sys_path"),
        code=CodeUsed.from_json(content.get("code")),
        umask=fields.whole(content, "umask"),
        backend=fields.mapping(content, "backend"),
    )


def _name(submission: int) -> str:
    return f"{FOLDER}/{submission}.context.json"
