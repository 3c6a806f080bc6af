"""The fields of SLURM arguments, as a shell offers them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields

from planit.nodes import SlurmArgs

_PRESET = re.compile(r"(~?(?:slurm|cpu|slurm_defaults|plan\.steps\.[^.=]+\.slurm)\.)[^.=]*")


def field_names() -> list[str]:
    """The names of the fields."""
    return [field.name for field in fields(SlurmArgs)]


def fields_behind(current: str) -> Iterator[tuple[str, str]]:
    """``slurm.time=`` and the like for what begins so; behind ``~`` without the sign."""
    if match := _PRESET.fullmatch(current):
        equals = "" if current.startswith("~") else "="
        for name in field_names():
            yield f"{match[1]}{name}{equals}", "SLURM argument"
